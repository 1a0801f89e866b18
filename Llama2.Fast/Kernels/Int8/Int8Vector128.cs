using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>128 bits: Arm's sdot where the machine has it, else products of 16 bits, widened to 32.</summary>
internal readonly unsafe struct Int8Vector128(Vector128<int> v) : IInt8<Int8Vector128>
{
    private readonly Vector128<int> _v = v;

    public static bool IsSupported => Vector128.IsHardwareAccelerated;
    public static int Lanes => Vector128<int>.Count;
    public static bool CanTransposeRows => Dp.IsSupported; // else weights would be widened again for each token
    public static int Depth => 4;
    public static int Bias => 0;
    [MethodImpl(Jit.Inline)] public static Int8Vector128 Create(int lane) => new(Vector128.Create(lane));
    [MethodImpl(Jit.Inline)] public static Int8Vector128 Load(sbyte* p) => new(Vector128.Load(p).AsInt32());
    public static Int8Vector128 LoadSixteen(sbyte* p) => Load(p);
    [MethodImpl(Jit.Inline)] public static Int8Vector128 AddBias(Int8Vector128 w) => w;

    [MethodImpl(Jit.Inline)] public static Int8Vector128 operator +(Int8Vector128 a, Int8Vector128 b) => new(a._v + b._v);

    [MethodImpl(Jit.Inline)]
    public static void LoadRows(sbyte* p, nint apart, out Int8Vector128 a, out Int8Vector128 b, out Int8Vector128 c, out Int8Vector128 d)
    {
        Vector128<float> va = Vector128.Load((float*)p), vb = Vector128.Load((float*)(p + apart));
        Vector128<float> vc = Vector128.Load((float*)(p + 2 * apart)), vd = Vector128.Load((float*)(p + 3 * apart));
        Horizontal.Transpose(ref va, ref vb, ref vc, ref vd);
        (a, b, c, d) = (new(va.AsInt32()), new(vb.AsInt32()), new(vc.AsInt32()), new(vd.AsInt32()));
    }

    [MethodImpl(Jit.Inline)]
    public static Int8Vector128 Dot(Int8Vector128 sum, Int8Vector128 w, Int8Vector128 x) =>
        new(Dot(sum._v, w._v.AsSByte(), x._v.AsSByte()));

    /// <summary>Adds to each int the products of its four bytes.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector128<int> Dot(Vector128<int> sum, Vector128<sbyte> w, Vector128<sbyte> x)
    {
        if (Dp.IsSupported)
            return Dp.DotProduct(sum, w, x);
        (Vector128<short> wLower, Vector128<short> wUpper) = Vector128.Widen(w);
        (Vector128<short> xLower, Vector128<short> xUpper) = Vector128.Widen(x);
        return sum + AddPairs(Products(wLower, xLower), Products(wUpper, xUpper));
    }

    // Sums of two products each. A product is 128 * 127 at most, which fits in 16 bits.
    [MethodImpl(Jit.Inline)]
    private static Vector128<int> Products(Vector128<short> w, Vector128<short> x) => Sse2.IsSupported ? Sse2.MultiplyAddAdjacent(w, x)
        : AdvSimd.IsSupported ? AdvSimd.AddPairwiseWidening(w * x)
        : ((w * x).AsInt32() << 16 >> 16) + ((w * x).AsInt32() >> 16);

    /// <summary>a0 + a1, a2 + a3, b0 + b1, b2 + b3.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector128<int> AddPairs(Vector128<int> a, Vector128<int> b) => Ssse3.IsSupported ? Ssse3.HorizontalAdd(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.AddPairwise(a, b)
        : Vector128.Create(a[0] + a[1], a[2] + a[3], b[0] + b[1], b[2] + b[3]);

    [MethodImpl(Jit.Inline)]
    public static Vector128<int> Sum(Int8Vector128 a, Int8Vector128 b, Int8Vector128 c, Int8Vector128 d) =>
        AddPairs(AddPairs(a._v, b._v), AddPairs(c._v, d._v));

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* o, Int8Vector128 dots, float* wScales, float xScale)
    {
        Vector128<float> sums = dots._v.AsSingle() - Vector128.Create(Int8Starts.ZeroAsFloat);
        (Vector128.Load(o) + sums * Vector128.Load(wScales) * Vector128.Create(xScale)).Store(o);
    }
}
