using System.Buffers;
using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Llama2.Simple.Formats;

/// <summary>
/// A file mapped read-only into memory. The only unsafe code of this assembly: callers get a <see cref="ReadOnlyMemory{T}"/>, whose use
/// after <see cref="Dispose"/> throws instead of crashing. A small file is copied, and so is a pipe, which cannot be mapped. If another
/// program shortens a larger file in place, reading what is gone ends this process: .NET cannot catch that, so look first with
/// <see cref="ThrowIfCut"/>.
/// </summary>
public sealed unsafe class MappedFile : IDisposable
{
    private const long MaxCopied = 3 << 20; // copying them takes 1 ms longer than mapping them

    private readonly SafeBuffer _memory;
    private readonly object[] _owned; // closed with it, or only kept from the garbage collector
    private readonly byte* _start;
    private bool _isDisposed;

    private MappedFile(SafeBuffer memory, long offset, long length, params object[] owned)
    {
        (_memory, _owned, Length) = (memory, owned, length);
        byte* start = null;
        memory.AcquirePointer(ref start);
        _start = start + offset;
    }

    public long Length { get; } // bytes in the file when it was opened
    private FileStream? Mapped { get; init; } // null for a copy

    /// <summary>Maps a file.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it is empty or no plain file.</exception>
    public static MappedFile Open(string path)
    {
        if (Directory.Exists(path))
            throw Error("a file", "a folder");
        try
        {
            FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            if (stream.CanSeek && stream.Length > MaxCopied)
                return Map(stream); // which stays open
            using (stream)
            {
                using Stream source = stream.CanSeek ? stream : ReadPipe(stream);
                return source.Length > 0 ? Copy(source) : throw Error("a file with contents", "an empty file");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw e switch
            {
                FileNotFoundException or DirectoryNotFoundException => Error("a file", "nothing there", e),
                UnauthorizedAccessException => Error("a readable file", "access denied", e),
                EndOfStreamException => Error("a file that keeps its length", "one that was cut while it was read", e),
                _ => Error("a readable file", e.Message.ReplaceLineEndings(" "), e),
            };
        }

        ModelFileException Error(string expected, string found, Exception? cause = null) => new(path, "file", expected, found, cause);

        MemoryStream ReadPipe(Stream pipe)
        {
            MemoryStream all = new();
            byte[] buffer = new byte[1 << 16];
            for (int count; (count = pipe.Read(buffer)) > 0; all.Write(buffer, 0, count))
            {
                if (all.Length + count > Array.MaxLength)
                    throw Error($"at most {Array.MaxLength} bytes from a pipe", "more");
            }
            all.Position = 0;
            return all;
        }
    }

    /// <summary>Gives the file to what is opened on it, which disposes of it from now on; where that throws, it is disposed here.</summary>
    public T GiveTo<T>(Func<MappedFile, T> open)
    {
        try
        {
            return open(this);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>
    /// A part of the program itself, as a resource of an assembly: where it lies, if its address suits float32, and else a copy of it.
    /// </summary>
    /// <param name="resource">Memory that stays where it is for as long as the stream is not collected.</param>
    public static MappedFile Of(UnmanagedMemoryStream resource)
    {
        byte* start = resource.PositionPointer;
        if ((nint)start % sizeof(float) != 0)
            return Copy(resource);
        long length = resource.Length - resource.Position;
        Borrowed memory = new(start, length);
        return new MappedFile(memory, 0, length, memory, resource);
    }

    // What a stream has from here on.
    private static MappedFile Copy(Stream stream)
    {
        byte[] copy = GC.AllocateUninitializedArray<byte>((int)(stream.Length - stream.Position), pinned: true);
        stream.ReadExactly(copy);
        Borrowed memory = new((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(copy)), copy.Length);
        return new MappedFile(memory, 0, copy.Length, memory, copy);
    }

    private static MappedFile Map(FileStream stream)
    {
        try
        {
            long length = stream.Length;
            MemoryMappedFile file = MemoryMappedFile.CreateFromFile(
                stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            MemoryMappedViewAccessor view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(view.SafeMemoryMappedViewHandle, view.PointerOffset, length, view, file, stream) { Mapped = stream };
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Refuses a mapped file that another program has shortened since.</summary>
    /// <param name="path">Its name in the message.</param>
    /// <exception cref="ModelFileException">It is shorter than it was when it was opened.</exception>
    public void ThrowIfCut(string path)
    {
        if (Mapped is not null && RandomAccess.GetLength(Mapped.SafeFileHandle) is var found && found < Length)
            throw new ModelFileException(path, "length", $"{Length} bytes, as when it was opened", $"{found}: it was cut meanwhile");
    }

    /// <summary>The first bytes, which tell what the file is.</summary>
    internal ReadOnlySpan<byte> Start => Slice<byte>(0, (int)Math.Min(Length, FileKind.StartBytes)).Span;

    /// <summary>Elements of the file as they lie there; the offset is in bytes, of any alignment.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part is not all in the file.</exception>
    public ReadOnlyMemory<T> Slice<T>(long offset, int count) where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + (long)count * sizeof(T), Length, nameof(count));
        return new Part<T>(this, offset, count).Memory;
    }

    /// <summary>Unmaps the file, once nobody has it pinned.</summary>
    public void Dispose()
    {
        if (_isDisposed)
            return; // to release the pointer twice would unmap what is pinned
        _isDisposed = true;
        _memory.ReleasePointer();
        foreach (IDisposable owned in _owned.OfType<IDisposable>())
            owned.Dispose();
    }

    /// <summary>Memory that is not ours to free.</summary>
    private sealed class Borrowed : SafeBuffer
    {
        public Borrowed(byte* start, long length) : base(ownsHandle: true)
        {
            SetHandle((nint)start);
            Initialize((ulong)length);
        }

        protected override bool ReleaseHandle() => true;
    }

    private sealed class Part<T>(MappedFile owner, long offset, int count) : MemoryManager<T> where T : unmanaged
    {
        public override Span<T> GetSpan()
        {
            ObjectDisposedException.ThrowIf(owner._memory.IsClosed, owner);
            return new Span<T>(owner._start + offset, count);
        }

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)count, nameof(elementIndex));
            bool pinned = false;
            owner._memory.DangerousAddRef(ref pinned); // the mapping now outlives Dispose until Unpin
            return new MemoryHandle(owner._start + offset + (long)elementIndex * Unsafe.SizeOf<T>(), pinnable: this);
        }

        public override void Unpin() => owner._memory.DangerousRelease();

        protected override void Dispose(bool disposing)
        {
        }
    }
}
