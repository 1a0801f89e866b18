using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX-512.</summary>
internal readonly unsafe struct Rows512(Vector512<int> v) : IRows<Rows512>
{
    private readonly Vector512<int> _v = v;

    public static bool IsSupported => Avx512BW.IsSupported;
    public static int MaxTokens => 8; // a register each for their sums, of 32
    [MethodImpl(Jit.Inline)] public static Rows512 Create(int value) => new(Vector512.Create(value));
    [MethodImpl(Jit.Inline)] public static Rows512 Load(int* p) => new(Vector512.Load(p));
    [MethodImpl(Jit.Inline)] public static Rows512 Widen(sbyte* p) => new(Avx512BW.ConvertToVector512Int16(Vector256.Load(p)).AsInt32());
    [MethodImpl(Jit.Inline)] public static void Store(int* p, Rows512 v) => v._v.Store(p);
    [MethodImpl(Jit.Inline)] public static Rows512 operator +(Rows512 a, Rows512 b) => new(a._v + b._v);
    [MethodImpl(Jit.Inline)] public static Rows512 operator *(Rows512 a, Rows512 b) => new(a._v * b._v);

    [MethodImpl(Jit.Inline)]
    public static Rows512 AddProducts(Rows512 sums, Rows512 weights, int activations) =>
        new(sums._v + Avx512BW.MultiplyAddAdjacent(weights._v.AsInt16(), Vector512.Create(activations).AsInt16()));

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* lanes, Rows512 v, float* scales, float x) => Vector512.FusedMultiplyAdd(
        Vector512.ConvertToSingle(v._v), Vector512.Load(scales) * Vector512.Create(x), Vector512.Load(lanes)).Store(lanes);
}
