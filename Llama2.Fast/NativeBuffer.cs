using System.Runtime.InteropServices;

namespace Llama2.Fast;

/// <summary>Memory outside the managed heap, aligned to a cache line. It starts out as zeros and only grows.</summary>
internal sealed unsafe class NativeBuffer<T> : IDisposable where T : unmanaged
{
    private const int Alignment = 64;

    private void* _block;
    private long _count;

    /// <summary>Where it is now.</summary>
    public T* Pointer { get; private set; }

    /// <summary>Makes it hold at least <paramref name="count"/> elements; what was in it is lost if it grows.</summary>
    public T* EnsureCount(long count)
    {
        if (count > _count)
        {
            Free();
            // zeros are had for nothing from the operating system, and where they are first used
            _block = NativeMemory.AllocZeroed(checked((nuint)count * (nuint)sizeof(T) + Alignment));
            Pointer = (T*)((nuint)_block + Alignment - 1 & ~(nuint)(Alignment - 1));
            _count = count;
        }
        return Pointer;
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
