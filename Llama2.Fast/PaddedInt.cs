using System.Runtime.InteropServices;

namespace Llama2.Fast;

/// <summary>An int in cache lines of its own, so that threads that write it do not slow those who read its neighbours.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct PaddedInt
{
    [FieldOffset(128)]
    public int Value;
}
