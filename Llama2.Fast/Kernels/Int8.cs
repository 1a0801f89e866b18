using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>The definition, a product at a time.</summary>
internal readonly unsafe struct Int8Scalar : IInt8
{
    public static bool IsSupported => true;

    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n) =>
        Vector128.Create(Dot(w, x, n), Dot(w + stride, x, n), Dot(w + 2 * stride, x, n), Dot(w + 3 * stride, x, n));

    /// <summary>The sum of w[j] * x[j] over j below n; it wraps around as the registers do.</summary>
    public static int Dot(sbyte* w, sbyte* x, int n)
    {
        int sum = 0;
        for (int j = 0; j < n; j++)
            sum += w[j] * x[j];
        return sum;
    }
}

/// <summary>AVX2: |w| * (x with w's sign), in pairs that fit 16 bits even for a weight of -128 (2 * 128 * 127 = 32512).</summary>
internal readonly unsafe struct Int8Avx2 : IInt8
{
    public static bool IsSupported => Avx2.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector256<int> a = default, b = default, c = default, d = default;
        for (int j = 0; j < n; j += IInt8.Step)
        {
            Vector256<sbyte> xs = Vector256.Load(x + j);
            a += Dot(Vector256.Load(w + j), xs);
            b += Dot(Vector256.Load(w + stride + j), xs);
            c += Dot(Vector256.Load(w + 2 * stride + j), xs);
            d += Dot(Vector256.Load(w + 3 * stride + j), xs);
        }
        return Sum(a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<sbyte> w, Vector256<sbyte> x) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Avx2.Abs(w), Avx2.Sign(x, w)), Vector256<short>.One);

    /// <summary>The sums of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d)
    {
        Vector256<int> abcd = Avx2.HorizontalAdd(Avx2.HorizontalAdd(a, b), Avx2.HorizontalAdd(c, d));
        return abcd.GetLower() + abcd.GetUpper();
    }
}

/// <summary>AVX-VNNI: as AVX2, with the products and their sum in one instruction.</summary>
internal readonly unsafe struct Int8Vnni : IInt8
{
    public static bool IsSupported => AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector256<int> a = default, b = default, c = default, d = default;
        for (int j = 0; j < n; j += IInt8.Step)
        {
            Vector256<sbyte> xs = Vector256.Load(x + j);
            a = Dot(a, Vector256.Load(w + j), xs);
            b = Dot(b, Vector256.Load(w + stride + j), xs);
            c = Dot(c, Vector256.Load(w + 2 * stride + j), xs);
            d = Dot(d, Vector256.Load(w + 3 * stride + j), xs);
        }
        return Int8Avx2.Sum(a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<int> sum, Vector256<sbyte> w, Vector256<sbyte> x) =>
        AvxVnni.MultiplyWideningAndAdd(sum, Avx2.Abs(w), Avx2.Sign(x, w));
}

/// <summary>128 bits: Arm's sdot where there is one, otherwise products of 16 bits widened to 32.</summary>
internal readonly unsafe struct Int8By128 : IInt8
{
    public static bool IsSupported => Vector128.IsHardwareAccelerated;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector128<int> a = default, b = default, c = default, d = default;
        for (int j = 0; j < n; j += Vector128<sbyte>.Count)
        {
            Vector128<sbyte> xs = Vector128.Load(x + j);
            a = Dot(a, Vector128.Load(w + j), xs);
            b = Dot(b, Vector128.Load(w + stride + j), xs);
            c = Dot(c, Vector128.Load(w + 2 * stride + j), xs);
            d = Dot(d, Vector128.Load(w + 3 * stride + j), xs);
        }
        return Sum(a, b, c, d);
    }

    /// <summary>Adds w[j] * x[j] to the lanes of <paramref name="sum"/>, each to one of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Dot(Vector128<int> sum, Vector128<sbyte> w, Vector128<sbyte> x)
    {
        if (Dp.IsSupported)
            return Dp.DotProduct(sum, w, x);
        (Vector128<short> wLower, Vector128<short> wUpper) = Vector128.Widen(w);
        (Vector128<short> xLower, Vector128<short> xUpper) = Vector128.Widen(x);
        if (Sse2.IsSupported)
            return sum + Sse2.MultiplyAddAdjacent(wLower, xLower) + Sse2.MultiplyAddAdjacent(wUpper, xUpper);
        (Vector128<int> lower0, Vector128<int> lower1) = Vector128.Widen(wLower * xLower); // at most 128 * 127, which fits
        (Vector128<int> upper0, Vector128<int> upper1) = Vector128.Widen(wUpper * xUpper);
        return sum + lower0 + lower1 + upper0 + upper1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Sum(Vector128<int> a, Vector128<int> b, Vector128<int> c, Vector128<int> d)
    {
        if (Ssse3.IsSupported)
            return Ssse3.HorizontalAdd(Ssse3.HorizontalAdd(a, b), Ssse3.HorizontalAdd(c, d));
        if (AdvSimd.Arm64.IsSupported)
            return AdvSimd.Arm64.AddPairwise(AdvSimd.Arm64.AddPairwise(a, b), AdvSimd.Arm64.AddPairwise(c, d));
        return Vector128.Create(Vector128.Sum(a), Vector128.Sum(b), Vector128.Sum(c), Vector128.Sum(d));
    }
}
