using System.Buffers;
using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using Microsoft.Win32.SafeHandles;

namespace Llama2.Simple.Formats;

/// <summary>
/// A file mapped read-only into memory. The only unsafe code of this assembly: callers get a <see cref="ReadOnlyMemory{T}"/>, whose use
/// after <see cref="Dispose"/> throws instead of crashing.
/// </summary>
public sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private bool _isDisposed;

    private MappedFile(MemoryMappedFile file, long length)
    {
        _file = file;
        Length = length;
        _view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        byte* start = null;
        Handle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
    }

    public long Length { get; } // bytes in the file when it was opened

    private SafeMemoryMappedViewHandle Handle => _view.SafeMemoryMappedViewHandle;

    /// <summary>Maps a file.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it is empty or no plain file.</exception>
    public static MappedFile Open(string path)
    {
        if (Directory.Exists(path))
            throw Error("a file", "a folder");
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            if (stream.Length == 0)
                throw Error("a file with contents", "an empty file");
            MemoryMappedFile file = MemoryMappedFile.CreateFromFile(
                stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            return new MappedFile(file, stream.Length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw e switch
            {
                FileNotFoundException or DirectoryNotFoundException => Error("a file", "nothing there", e),
                UnauthorizedAccessException => Error("a readable file", "access denied", e),
                _ => Error("a readable file", e.Message.ReplaceLineEndings(" "), e),
            };
        }

        ModelFileException Error(string expected, string found, Exception? cause = null) => new(path, "file", expected, found, cause);
    }

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
        Handle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    private sealed class Part<T>(MappedFile owner, long offset, int count) : MemoryManager<T> where T : unmanaged
    {
        public override Span<T> GetSpan()
        {
            ObjectDisposedException.ThrowIf(owner.Handle.IsClosed, owner);
            return new Span<T>(owner._start + offset, count);
        }

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)count, nameof(elementIndex));
            bool pinned = false;
            owner.Handle.DangerousAddRef(ref pinned); // the mapping now outlives Dispose until Unpin
            return new MemoryHandle(owner._start + offset + (long)elementIndex * Unsafe.SizeOf<T>(), pinnable: this);
        }

        public override void Unpin() => owner.Handle.DangerousRelease();

        protected override void Dispose(bool disposing)
        {
        }
    }
}
