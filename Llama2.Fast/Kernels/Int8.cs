using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>The definition, a product at a time.</summary>
[InlineArray(2)]
internal unsafe struct Int8Scalar : IInt8<Int8Scalar>
{
    private int _lane0;

    public static bool IsSupported => true;

    public static int Rows => 2;

    public static int Depth => 4;

    public static int Bias => 0;

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

    public static Int8Scalar Load(sbyte* p) => *(Int8Scalar*)p;

    public static Int8Scalar Create(int lane)
    {
        Int8Scalar v = default;
        ((Span<int>)v).Fill(lane);
        return v;
    }

    public static Int8Scalar Dot(Int8Scalar sum, Int8Scalar w, Int8Scalar x)
    {
        for (int i = 0; i < Rows; i++)
            sum[i] += Dot((sbyte*)&w + i * Depth, (sbyte*)&x + i * Depth, Depth);
        return sum;
    }

    public static void AddScaled(float* o, Int8Scalar dots, float* wScales, float xScale)
    {
        for (int i = 0; i < Rows; i++)
            o[i] += dots[i] * wScales[i] * xScale;
    }
}

/// <summary>AVX2: |w| * (x with w's sign), in pairs that fit 16 bits even for a weight of -128 (2 * 128 * 127 = 32512).</summary>
internal readonly unsafe struct Int8Avx2(Vector256<int> v) : IInt8<Int8Avx2>
{
    private readonly Vector256<int> _v = v;

    public static bool IsSupported => Avx2.IsSupported;

    public static int Rows => Vector256<int>.Count;

    public static int Depth => 4;

    public static int Bias => 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector256<int> a = default, b = default, c = default, d = default;
        int j = 0;
        for (; j + Vector256<sbyte>.Count <= n; j += Vector256<sbyte>.Count)
        {
            Vector256<sbyte> xs = Vector256.Load(x + j);
            a += Dot(Vector256.Load(w + j), xs);
            b += Dot(Vector256.Load(w + stride + j), xs);
            c += Dot(Vector256.Load(w + 2 * stride + j), xs);
            d += Dot(Vector256.Load(w + 3 * stride + j), xs);
        }
        if (j < n)
        {
            Vector256<sbyte> xs = LoadStep(x + j);
            a += Dot(LoadStep(w + j), xs);
            b += Dot(LoadStep(w + stride + j), xs);
            c += Dot(LoadStep(w + 2 * stride + j), xs);
            d += Dot(LoadStep(w + 3 * stride + j), xs);
        }
        return Sum(a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<sbyte> w, Vector256<sbyte> x) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Avx2.Abs(w), Avx2.Sign(x, w)), Vector256<short>.One);

    /// <summary>Half a register, the other half zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<sbyte> LoadStep(sbyte* p) => Vector128.Load(p).ToVector256();

    /// <summary>The sums of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Sum(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d)
    {
        Vector256<int> abcd = Avx2.HorizontalAdd(Avx2.HorizontalAdd(a, b), Avx2.HorizontalAdd(c, d));
        return abcd.GetLower() + abcd.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx2 Load(sbyte* p) => new(Vector256.Load(p).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx2 Create(int lane) => new(Vector256.Create(lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx2 Dot(Int8Avx2 sum, Int8Avx2 w, Int8Avx2 x) => new(sum._v + Dot(w._v.AsSByte(), x._v.AsSByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* o, Int8Avx2 dots, float* wScales, float xScale) => AddScaled(o, dots._v, wScales, xScale);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* o, Vector256<int> dots, float* wScales, float xScale) =>
        (Vector256.Load(o) + Vector256.ConvertToSingle(dots) * Vector256.Load(wScales) * Vector256.Create(xScale)).Store(o);
}

/// <summary>AVX-512 without VNNI: pairs as int16, which is one instruction less for twice the width. Rows as they lie are AVX2's.</summary>
internal readonly unsafe struct Int8Avx512(Vector512<int> v) : IInt8<Int8Avx512>
{
    private readonly Vector512<int> _v = v;

    public static bool IsSupported => Avx512BW.IsSupported && Int8Avx2.IsSupported;

    public static int Rows => Vector512<int>.Count;

    public static int Depth => 2;

    public static int Bias => 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n) => Int8Avx2.Dot(w, stride, x, n);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx512 Load(sbyte* p) => new(Avx512BW.ConvertToVector512Int16(Vector256.Load(p)).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx512 Create(int lane) => new(Vector512.Create(lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Avx512 Dot(Int8Avx512 sum, Int8Avx512 w, Int8Avx512 x) => new(sum._v + Avx512BW.MultiplyAddAdjacent(w._v.AsInt16(), x._v.AsInt16()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* o, Int8Avx512 dots, float* wScales, float xScale) =>
        (Vector512.Load(o) + Vector512.ConvertToSingle(dots._v) * Vector512.Load(wScales) * Vector512.Create(xScale)).Store(o);
}

/// <summary>AVX-VNNI: the products and their sum in one instruction, of unsigned and signed bytes.</summary>
internal readonly unsafe struct Int8Vnni(Vector256<int> v) : IInt8<Int8Vnni>
{
    private readonly Vector256<int> _v = v;

    public static bool IsSupported => AvxVnni.IsSupported;

    public static int Rows => Vector256<int>.Count;

    public static int Depth => 4;

    public static int Bias => 128;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector256<int> a = default, b = default, c = default, d = default;
        int j = 0;
        for (; j + Vector256<sbyte>.Count <= n; j += Vector256<sbyte>.Count)
        {
            Vector256<sbyte> xs = Vector256.Load(x + j);
            a = Dot(a, Vector256.Load(w + j), xs);
            b = Dot(b, Vector256.Load(w + stride + j), xs);
            c = Dot(c, Vector256.Load(w + 2 * stride + j), xs);
            d = Dot(d, Vector256.Load(w + 3 * stride + j), xs);
        }
        if (j < n)
        {
            Vector256<sbyte> xs = Int8Avx2.LoadStep(x + j);
            a = Dot(a, Int8Avx2.LoadStep(w + j), xs);
            b = Dot(b, Int8Avx2.LoadStep(w + stride + j), xs);
            c = Dot(c, Int8Avx2.LoadStep(w + 2 * stride + j), xs);
            d = Dot(d, Int8Avx2.LoadStep(w + 3 * stride + j), xs);
        }
        return Int8Avx2.Sum(a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<int> sum, Vector256<sbyte> w, Vector256<sbyte> x) =>
        AvxVnni.MultiplyWideningAndAdd(sum, Avx2.Abs(w), Avx2.Sign(x, w));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Vnni Load(sbyte* p) => new(Vector256.Load(p).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Vnni Create(int lane) => new(Vector256.Create(lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8Vnni Dot(Int8Vnni sum, Int8Vnni w, Int8Vnni x) =>
        new(AvxVnni.MultiplyWideningAndAdd(sum._v, w._v.AsByte(), x._v.AsSByte()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* o, Int8Vnni dots, float* wScales, float xScale) => Int8Avx2.AddScaled(o, dots._v, wScales, xScale);
}

/// <summary>128 bits: Arm's sdot where there is one, otherwise products of 16 bits widened to 32.</summary>
internal readonly unsafe struct Int8By128(Vector128<int> v) : IInt8<Int8By128>
{
    private readonly Vector128<int> _v = v;

    public static bool IsSupported => Vector128.IsHardwareAccelerated;

    public static int Rows => Vector128<int>.Count;

    public static int Depth => 4;

    public static int Bias => 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        Vector128<int> a = default, b = default, c = default, d = default;
        for (int j = 0; j < n; j += Vector128<sbyte>.Count)
        {
            Vector128<sbyte> xs = Vector128.Load(x + j);
            a = DotAnywhere(a, Vector128.Load(w + j), xs);
            b = DotAnywhere(b, Vector128.Load(w + stride + j), xs);
            c = DotAnywhere(c, Vector128.Load(w + 2 * stride + j), xs);
            d = DotAnywhere(d, Vector128.Load(w + 3 * stride + j), xs);
        }
        return Sum(a, b, c, d);
    }

    /// <summary>Adds every w[j] * x[j] to some lane of <paramref name="sum"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> DotAnywhere(Vector128<int> sum, Vector128<sbyte> w, Vector128<sbyte> x)
    {
        if (Dp.IsSupported)
            return Dp.DotProduct(sum, w, x);
        (Vector128<int> lower, Vector128<int> upper) = Pairs(w, x);
        return sum + lower + upper;
    }

    /// <summary>Sums of two products each, of the lower and upper quads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<int> Lower, Vector128<int> Upper) Pairs(Vector128<sbyte> w, Vector128<sbyte> x)
    {
        (Vector128<short> wLower, Vector128<short> wUpper) = Vector128.Widen(w);
        (Vector128<short> xLower, Vector128<short> xUpper) = Vector128.Widen(x);
        return Sse2.IsSupported
            ? (Sse2.MultiplyAddAdjacent(wLower, xLower), Sse2.MultiplyAddAdjacent(wUpper, xUpper))
            : (AddPairs(wLower * xLower), AddPairs(wUpper * xUpper)); // at most 128 * 127, which fits
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> AddPairs(Vector128<short> products)
    {
        if (AdvSimd.IsSupported)
            return AdvSimd.AddPairwiseWidening(products);
        Vector128<int> both = products.AsInt32();
        return (both << 16 >> 16) + (both >> 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> AddPairs(Vector128<int> a, Vector128<int> b)
    {
        if (Ssse3.IsSupported)
            return Ssse3.HorizontalAdd(a, b);
        if (AdvSimd.Arm64.IsSupported)
            return AdvSimd.Arm64.AddPairwise(a, b);
        return Vector128.Create(a[0] + a[1], a[2] + a[3], b[0] + b[1], b[2] + b[3]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Sum(Vector128<int> a, Vector128<int> b, Vector128<int> c, Vector128<int> d) => AddPairs(AddPairs(a, b), AddPairs(c, d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8By128 Load(sbyte* p) => new(Vector128.Load(p).AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8By128 Create(int lane) => new(Vector128.Create(lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Int8By128 Dot(Int8By128 sum, Int8By128 w, Int8By128 x)
    {
        if (Dp.IsSupported)
            return new(Dp.DotProduct(sum._v, w._v.AsSByte(), x._v.AsSByte()));
        (Vector128<int> lower, Vector128<int> upper) = Pairs(w._v.AsSByte(), x._v.AsSByte());
        return new(sum._v + AddPairs(lower, upper));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* o, Int8By128 dots, float* wScales, float xScale) =>
        (Vector128.Load(o) + Vector128.ConvertToSingle(dots._v) * Vector128.Load(wScales) * Vector128.Create(xScale)).Store(o);
}
