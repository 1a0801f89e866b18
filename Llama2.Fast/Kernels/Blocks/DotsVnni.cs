using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX-VNNI, whose products are of unsigned and signed bytes: signed weights are made unsigned by adding 128.</summary>
internal readonly struct DotsVnni : IDots
{
    public static bool IsSupported => AvxVnni.IsSupported && DotsAvx2.IsSupported;
    public static int SignedBias => 128;

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> high, Vector256<sbyte> low)
    {
        Vector256<int> sum = AvxVnni.MultiplyWideningAndAdd(Vector256<int>.Zero, w, high);
        return AvxVnni.MultiplyWideningAndAdd(sum << BlockUnit.LowBits, w, low);
    }

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> high, Vector256<sbyte> low) =>
        Unsigned(w.AsByte() ^ Vector256.Create((byte)128), high, low);

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b) => DotsAvx2.AddPairs(a, b);

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b) => DotsAvx2.AddHalves(a, b);
}
