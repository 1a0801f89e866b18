using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>Arm's AdvSimd, and any x86.</summary>
internal readonly unsafe struct Rows128(Vector128<int> a, Vector128<int> b, Vector128<int> c, Vector128<int> d) : IRows<Rows128>
{
    private readonly Vector128<int> _a = a, _b = b, _c = c, _d = d; // rows 0-3, 4-7, 8-11, 12-15

    public static bool IsSupported => Vector128.IsHardwareAccelerated;
    [MethodImpl(Jit.Inline)] public static Rows128 Create(int value) => Create(Vector128.Create(value));
    [MethodImpl(Jit.Inline)] private static Rows128 Create(Vector128<int> v) => new(v, v, v, v);

    [MethodImpl(Jit.Inline)]
    public static Rows128 Load(int* p) => new(Vector128.Load(p), Vector128.Load(p + 4), Vector128.Load(p + 8), Vector128.Load(p + 12));

    [MethodImpl(Jit.Inline)]
    public static Rows128 Widen(sbyte* p)
    {
        (Vector128<short> a, Vector128<short> b) = Vector128.Widen(Vector128.Load(p));
        (Vector128<short> c, Vector128<short> d) = Vector128.Widen(Vector128.Load(p + 16));
        return new(a.AsInt32(), b.AsInt32(), c.AsInt32(), d.AsInt32());
    }

    [MethodImpl(Jit.Inline)]
    public static void Store(int* p, Rows128 v)
    {
        v._a.Store(p);
        v._b.Store(p + 4);
        v._c.Store(p + 8);
        v._d.Store(p + 12);
    }

    [MethodImpl(Jit.Inline)]
    public static Rows128 operator +(Rows128 a, Rows128 b) => new(a._a + b._a, a._b + b._b, a._c + b._c, a._d + b._d);

    [MethodImpl(Jit.Inline)]
    public static Rows128 operator *(Rows128 a, Rows128 b) => new(a._a * b._a, a._b * b._b, a._c * b._c, a._d * b._d);

    [MethodImpl(Jit.Inline)]
    public static Rows128 AddProducts(Rows128 sums, Rows128 weights, int activations)
    {
        Vector128<int> x = Vector128.Create(activations);
        return new(Add(sums._a, weights._a, x), Add(sums._b, weights._b, x), Add(sums._c, weights._c, x), Add(sums._d, weights._d, x));
    }

    [MethodImpl(Jit.Inline)]
    private static Vector128<int> Add(Vector128<int> sums, Vector128<int> weights, Vector128<int> x)
    {
        if (Sse2.IsSupported)
            return sums + Sse2.MultiplyAddAdjacent(weights.AsInt16(), x.AsInt16());
        return sums + (weights << 16 >> 16) * (x << 16 >> 16) + (weights >> 16) * (x >> 16);
    }

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* lanes, Rows128 v, float* scales, float x)
    {
        Add(lanes, v._a, scales, x);
        Add(lanes + 4, v._b, scales + 4, x);
        Add(lanes + 8, v._c, scales + 8, x);
        Add(lanes + 12, v._d, scales + 12, x);
    }

    [MethodImpl(Jit.Inline)]
    private static void Add(float* lanes, Vector128<int> v, float* scales, float x) => Vector128.FusedMultiplyAdd(
        Vector128.ConvertToSingle(v), Vector128.Load(scales) * Vector128.Create(x), Vector128.Load(lanes)).Store(lanes);
}
