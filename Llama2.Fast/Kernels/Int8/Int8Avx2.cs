using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX2: |w| * (x with w's sign), in pairs that fit 16 bits even for a weight of -128 (2 * 128 * 127 = 32512).</summary>
internal readonly unsafe struct Int8Avx2(Vector256<int> v) : IInt8<Int8Avx2>
{
    private readonly Vector256<int> _v = v;

    public static bool IsSupported => Avx2.IsSupported;
    public static int Lanes => Vector256<int>.Count;
    public static bool CanTransposeRows => true;
    public static int Depth => 4;
    public static int Bias => 0;
    [MethodImpl(Jit.Inline)] public static Int8Avx2 Create(int lane) => new(Vector256.Create(lane));
    [MethodImpl(Jit.Inline)] public static Int8Avx2 Load(sbyte* p) => new(Vector256.Load(p).AsInt32());
    [MethodImpl(Jit.Inline)] public static Int8Avx2 LoadSixteen(sbyte* p) => new(Vector128.Load(p).ToVector256().AsInt32());
    [MethodImpl(Jit.Inline)] public static Int8Avx2 AddBias(Int8Avx2 w) => w;

    [MethodImpl(Jit.Inline)] public static Int8Avx2 operator +(Int8Avx2 a, Int8Avx2 b) => new(a._v + b._v);

    [MethodImpl(Jit.Inline)]
    public static void LoadRows(sbyte* p, nint apart, out Int8Avx2 a, out Int8Avx2 b, out Int8Avx2 c, out Int8Avx2 d)
    {
        Rows(p, apart, out Vector256<int> va, out Vector256<int> vb, out Vector256<int> vc, out Vector256<int> vd);
        (a, b, c, d) = (new(va), new(vb), new(vc), new(vd));
    }

    [MethodImpl(Jit.Inline)]
    public static void Rows(sbyte* p, nint apart, out Vector256<int> a, out Vector256<int> b, out Vector256<int> c, out Vector256<int> d)
    {
        Vector256<int> r0 = Two(p, apart), r1 = Two(p + apart, apart), r2 = Two(p + 2 * apart, apart), r3 = Two(p + 3 * apart, apart);
        Vector256<long> low01 = Avx2.UnpackLow(r0, r1).AsInt64(), high01 = Avx2.UnpackHigh(r0, r1).AsInt64();
        Vector256<long> low23 = Avx2.UnpackLow(r2, r3).AsInt64(), high23 = Avx2.UnpackHigh(r2, r3).AsInt64();
        a = Avx2.UnpackLow(low01, low23).AsInt32();
        b = Avx2.UnpackHigh(low01, low23).AsInt32();
        c = Avx2.UnpackLow(high01, high23).AsInt32();
        d = Avx2.UnpackHigh(high01, high23).AsInt32();
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<int> Two(sbyte* p, nint apart) =>
        Avx2.InsertVector128(Vector128.Load((int*)p).ToVector256Unsafe(), Vector128.Load((int*)(p + 4 * apart)), 1);

    [MethodImpl(Jit.Inline)]
    public static Int8Avx2 Dot(Int8Avx2 sum, Int8Avx2 w, Int8Avx2 x)
    {
        Vector256<sbyte> weights = w._v.AsSByte();
        Vector256<short> pairs = Avx2.MultiplyAddAdjacent(Avx2.Abs(weights), Avx2.Sign(x._v.AsSByte(), weights));
        return new(sum._v + Avx2.MultiplyAddAdjacent(pairs, Vector256<short>.One));
    }

    [MethodImpl(Jit.Inline)]
    public static Vector128<int> Sum(Int8Avx2 a, Int8Avx2 b, Int8Avx2 c, Int8Avx2 d) => Sum(a._v, b._v, c._v, d._v);

    [MethodImpl(Jit.Inline)]
    public static Vector128<int> Sum(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d)
    {
        Vector256<int> abcd = Avx2.HorizontalAdd(Avx2.HorizontalAdd(a, b), Avx2.HorizontalAdd(c, d));
        return abcd.GetLower() + abcd.GetUpper();
    }

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* o, Int8Avx2 dots, float* wScales, float xScale) => AddScaled(o, dots._v, wScales, xScale);

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* o, Vector256<int> dots, float* wScales, float xScale)
    {
        Vector256<float> sums = dots.AsSingle() - Vector256.Create(Int8Starts.ZeroAsFloat);
        (Vector256.Load(o) + sums * Vector256.Load(wScales) * Vector256.Create(xScale)).Store(o);
    }
}
