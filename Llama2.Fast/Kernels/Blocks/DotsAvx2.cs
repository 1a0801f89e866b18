using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX2: pairs of products that fit in 16 bits (2 * 63 * 127, and 2 * 128 * 127 of magnitudes).</summary>
internal readonly struct DotsAvx2 : IDots
{
    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;
    public static int SignedBias => 0;

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> high, Vector256<sbyte> low) =>
        Pairs(w, high, BlockUnit.HighDigit) + Pairs(w, low, 1);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> high, Vector256<sbyte> low) =>
        Unsigned(Avx2.Abs(w), Avx2.Sign(high, w), Avx2.Sign(low, w));

    [MethodImpl(Jit.Inline)]
    private static Vector256<int> Pairs(Vector256<byte> w, Vector256<sbyte> x, short factor) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(w, x), Vector256.Create(factor));

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b) => Avx2.HorizontalAdd(a, b);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b) =>
        Avx2.Permute2x128(a, b, 0x20) + Avx2.Permute2x128(a, b, 0x31);
}
