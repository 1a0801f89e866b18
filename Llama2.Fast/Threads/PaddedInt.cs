using System.Runtime.InteropServices;

namespace Llama2.Fast.Threads;

/// <summary>An int in cache lines of its own: a write takes its line from other threads, and prefetchers fetch pairs of lines.</summary>
[StructLayout(LayoutKind.Explicit, Size = 2 * Pair)]
internal struct PaddedInt
{
    private const int Pair = 128; // bytes of two lines

    [FieldOffset(Pair)]
    public int Value;
}
