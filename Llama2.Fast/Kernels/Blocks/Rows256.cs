using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX2.</summary>
internal readonly unsafe struct Rows256(Vector256<int> a, Vector256<int> b) : IRows<Rows256>
{
    private readonly Vector256<int> _a = a, _b = b; // rows 0-7, 8-15

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;
    [MethodImpl(Jit.Inline)] public static Rows256 Create(int value) => new(Vector256.Create(value), Vector256.Create(value));
    [MethodImpl(Jit.Inline)] public static Rows256 Load(int* p) => new(Vector256.Load(p), Vector256.Load(p + 8));

    [MethodImpl(Jit.Inline)]
    public static Rows256 Widen(sbyte* p) =>
        new(Avx2.ConvertToVector256Int16(p).AsInt32(), Avx2.ConvertToVector256Int16(p + 16).AsInt32());

    [MethodImpl(Jit.Inline)]
    public static void Store(int* p, Rows256 v)
    {
        v._a.Store(p);
        v._b.Store(p + 8);
    }

    [MethodImpl(Jit.Inline)] public static Rows256 operator +(Rows256 a, Rows256 b) => new(a._a + b._a, a._b + b._b);
    [MethodImpl(Jit.Inline)] public static Rows256 operator *(Rows256 a, Rows256 b) => new(a._a * b._a, a._b * b._b);

    [MethodImpl(Jit.Inline)]
    public static Rows256 AddProducts(Rows256 sums, Rows256 weights, int activations)
    {
        Vector256<short> x = Vector256.Create(activations).AsInt16();
        return new(
            sums._a + Avx2.MultiplyAddAdjacent(weights._a.AsInt16(), x),
            sums._b + Avx2.MultiplyAddAdjacent(weights._b.AsInt16(), x));
    }

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* lanes, Rows256 v, float* scales, float x)
    {
        Add(lanes, v._a, scales, x);
        Add(lanes + 8, v._b, scales + 8, x);
    }

    [MethodImpl(Jit.Inline)]
    private static void Add(float* lanes, Vector256<int> v, float* scales, float x) => Vector256.FusedMultiplyAdd(
        Vector256.ConvertToSingle(v), Vector256.Load(scales) * Vector256.Create(x), Vector256.Load(lanes)).Store(lanes);
}
