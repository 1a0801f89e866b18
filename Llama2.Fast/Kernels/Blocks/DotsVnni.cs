using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX-VNNI, whose products are of unsigned and signed bytes: signed weights are made unsigned by adding 128.</summary>
internal readonly struct DotsVnni : IDots
{
    public static bool IsSupported => AvxVnni.IsSupported && DotsAvx2.IsSupported;
    public static int SignedBias => 128;

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> x) =>
        AvxVnni.MultiplyWideningAndAdd(Vector256<int>.Zero, w, x);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> x) =>
        Unsigned(w.AsByte() ^ Vector256.Create((byte)128), x);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> w, Vector256<sbyte> x, bool signed) =>
        AvxVnni.MultiplyWideningAndAdd(sum, w, x);

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b) => DotsAvx2.AddPairs(a, b);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddUnsignedPairs(Vector256<int> a, Vector256<int> b) => DotsAvx2.AddUnsignedPairs(a, b);

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b) => DotsAvx2.AddHalves(a, b);
}
