using System.Runtime.InteropServices;

namespace Llama2.Fast.Threads;

/// <summary>Memory outside the managed heap, aligned to a cache line. It starts out as zeros and only grows.</summary>
internal sealed unsafe class NativeBuffer<T> : IDisposable where T : unmanaged
{
    private const int Alignment = 64;
    private const long MaxBytes = 1L << 40; // far beyond any model; a greater size is a mistake in a product of lengths

    private void* _block;
    private long _count;

    /// <summary>Its address, until it grows.</summary>
    public T* Pointer { get; private set; }

    /// <summary>Makes it hold at least <paramref name="count"/> elements; its contents are lost if it grows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A negative or absurd number.</exception>
    /// <exception cref="OutOfMemoryException">There is no such memory; it holds nothing now.</exception>
    public T* EnsureCount(long count)
    {
        if ((ulong)count > (ulong)_count)
            Grow(count);
        return Pointer;
    }

    private void Grow(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, MaxBytes / sizeof(T));
        Free();
        // calloc: the system hands out zero pages on first touch, so zeroing costs nothing here
        _block = NativeMemory.AllocZeroed((nuint)count * (nuint)sizeof(T) + Alignment);
        Pointer = (T*)((nuint)_block + Alignment - 1 & ~(nuint)(Alignment - 1));
        _count = count;
    }

    private void Free()
    {
        NativeMemory.Free(_block);
        Pointer = null;
        _block = null;
        _count = 0;
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    ~NativeBuffer() => Free();
}
