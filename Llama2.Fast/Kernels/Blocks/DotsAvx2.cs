using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX2: pairs of products that fit in 16 bits (2 * 63 * 127, and 2 * 128 * 127 of magnitudes).</summary>
internal readonly struct DotsAvx2 : IDots
{
    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;
    public static int SignedBias => 0;

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> x) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(w, x), Vector256<short>.One);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> x) => Unsigned(Avx2.Abs(w), Avx2.Sign(x, w));

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> w, Vector256<sbyte> x, bool signed) =>
        sum + (signed ? Signed(w.AsSByte(), x) : Unsigned(w, x));

    [MethodImpl(Jit.Inline)] public static Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b) => Avx2.HorizontalAdd(a, b);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddUnsignedPairs(Vector256<int> a, Vector256<int> b) =>
        Avx2.MultiplyAddAdjacent(Avx2.PackSignedSaturate(a, b), Vector256<short>.One); // two instructions for three

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b) =>
        Avx2.Permute2x128(a, b, 0x20) + Avx2.Permute2x128(a, b, 0x31);
}
