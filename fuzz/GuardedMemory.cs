namespace Llama2.Fuzz;

/// <summary>
/// Memory between two inaccessible pages: to read or write one element too far kills the process, where an array would have
/// hidden it. On Windows the pages stay accessible.
/// </summary>
internal sealed unsafe class GuardedMemory<T> : MemoryManager<T> where T : unmanaged
{
    private static readonly nuint Page = (nuint)Environment.SystemPageSize;
    private readonly int _length;
    private readonly byte* _first, _last; // the pages
    private readonly T* _start;

    /// <param name="length">Elements, which are zero.</param>
    /// <param name="beforeEnd">
    /// Bytes from the last element to the page behind it, to vary the alignment; -1 puts the first element at the end of the
    /// page in front instead.
    /// </param>
    public GuardedMemory(int length, int beforeEnd = 0)
    {
        nuint bytes = (nuint)length * (nuint)sizeof(T), slack = (nuint)Math.Max(beforeEnd, 0);
        nuint open = (bytes + slack + Page - 1) / Page * Page;
        _length = length;
        _first = (byte*)NativeMemory.AlignedAlloc(Page + open + Page, Page);
        _last = _first + Page + open;
        NativeMemory.Clear(_first + Page, open);
        _start = (T*)(beforeEnd < 0 ? _first + Page : _last - slack - bytes);
        Protect(Pages.None);
    }

    private void Protect(int protection)
    {
        if (!OperatingSystem.IsWindows() && (Pages.Protect(_first, Page, protection) | Pages.Protect(_last, Page, protection)) != 0)
            throw new InsufficientMemoryException("mprotect");
    }

    public override Span<T> GetSpan() => new(_start, _length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex, pinnable: this);

    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        Protect(Pages.ReadWrite);
        NativeMemory.AlignedFree(_first);
    }
}

/// <summary>Pages of the operating system.</summary>
internal static unsafe partial class Pages
{
    public const int None = 0, ReadWrite = 3;

    [LibraryImport("libc", EntryPoint = "mprotect")]
    public static partial int Protect(byte* address, nuint length, int protection);
}
