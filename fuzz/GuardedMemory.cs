namespace Llama2.Fuzz;

/// <summary>
/// Memory between two inaccessible pages: to read or write one element too far kills the process, where an array would have
/// hidden it. On Windows it is plain memory.
/// </summary>
internal sealed unsafe class GuardedMemory<T> : MemoryManager<T> where T : unmanaged
{
    private readonly int _length;
    private readonly byte* _mapping;
    private readonly nuint _mapped;
    private readonly T* _start;

    /// <param name="length">Elements, which are zero.</param>
    /// <param name="beforeEnd">
    /// Bytes from the last element to the page behind it, to vary the alignment; -1 puts the first element at the end of the
    /// page in front instead.
    /// </param>
    public GuardedMemory(int length, int beforeEnd = 0)
    {
        nuint bytes = (nuint)length * (nuint)sizeof(T);
        _length = length;
        if (OperatingSystem.IsWindows())
        {
            _start = (T*)(_mapping = (byte*)NativeMemory.AllocZeroed(Math.Max(bytes, 1)));
            return;
        }
        nuint page = (nuint)Environment.SystemPageSize;
        nuint open = (bytes + (nuint)Math.Max(beforeEnd, 0) + page - 1) / page * page;
        _mapped = open + (2 * page);
        _mapping = (byte*)Pages.Map(0, _mapped, Pages.None, Pages.PrivateAnonymous, -1, 0);
        if ((nint)_mapping == -1 || (open > 0 && Pages.Protect(_mapping + page, open, Pages.ReadWrite) != 0))
            throw new InsufficientMemoryException("mmap");
        _start = (T*)(beforeEnd < 0 ? _mapping + page : _mapping + page + open - bytes - (nuint)beforeEnd);
    }

    public override Span<T> GetSpan() => new(_start, _length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex, pinnable: this);

    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (_mapped == 0)
            NativeMemory.Free(_mapping);
        else
            _ = Pages.Unmap(_mapping, _mapped);
    }
}

/// <summary>Pages of the operating system.</summary>
internal static unsafe partial class Pages
{
    public const int None = 0, ReadWrite = 3;

    public static int PrivateAnonymous => OperatingSystem.IsMacOS() ? 0x1002 : 0x22;

    [LibraryImport("libc", EntryPoint = "mmap")]
    public static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    public static partial int Protect(byte* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    public static partial int Unmap(byte* address, nuint length);
}
