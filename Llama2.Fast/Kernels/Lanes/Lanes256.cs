using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX2 and FMA: sixteen floats in two registers.</summary>
internal readonly unsafe struct Lanes256(Vector256<float> lo, Vector256<float> hi) : ILanes<Lanes256>
{
    private readonly Vector256<float> _lo = lo; // lanes 0-7
    private readonly Vector256<float> _hi = hi; // lanes 8-15

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;
    public static bool Has32Registers => false;
    [MethodImpl(Jit.Inline)] public static Lanes256 Load(float* p) => new(Vector256.Load(p), Vector256.Load(p + 8));

    [MethodImpl(Jit.Inline)]
    public static Lanes256 LoadPartial(float* p, int count, float rest) => new(Partial(p, count, rest), Partial(p + 8, count - 8, rest));

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Partial(float* p, int count, float rest)
    {
        Vector256<float> mask = First(count);
        return Vector256.ConditionalSelect(mask, Avx.MaskLoad(p, mask), Vector256.Create(rest));
    }

    [MethodImpl(Jit.Inline)]
    public static Lanes256 LoadFloat16(ushort* p) => new(
        Halves.ToSingle(Avx2.ConvertToVector256Int32(Vector128.Load(p))),
        Halves.ToSingle(Avx2.ConvertToVector256Int32(Vector128.Load(p + 8))));

    [MethodImpl(Jit.Inline)]
    public static Lanes256 LoadBFloat16(ushort* p) => new(
        (Avx2.ConvertToVector256Int32(Vector128.Load(p)) << 16).AsSingle(),
        (Avx2.ConvertToVector256Int32(Vector128.Load(p + 8)) << 16).AsSingle());

    [MethodImpl(Jit.Inline)]
    public static void Store(float* p, Lanes256 v)
    {
        v._lo.Store(p);
        v._hi.Store(p + 8);
    }

    [MethodImpl(Jit.Inline)]
    public static void StorePartial(float* p, Lanes256 v, int count)
    {
        Avx.MaskStore(p, First(count), v._lo);
        Avx.MaskStore(p + 8, First(count - 8), v._hi);
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> First(int count) => Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(count)).AsSingle();

    [MethodImpl(Jit.Inline)]
    public static void StoreInt8(sbyte* p, Lanes256 v)
    {
        Vector256<short> words = Vector256.Narrow(Vector256.ConvertToInt32(v._lo), Vector256.ConvertToInt32(v._hi));
        Vector128.Narrow(words.GetLower(), words.GetUpper()).Store(p);
    }

    [MethodImpl(Jit.Inline)] public static Lanes256 Create(float value) => new(Vector256.Create(value), Vector256.Create(value));
    [MethodImpl(Jit.Inline)] public static Lanes256 operator +(Lanes256 a, Lanes256 b) => new(a._lo + b._lo, a._hi + b._hi);
    [MethodImpl(Jit.Inline)] public static Lanes256 operator -(Lanes256 a, Lanes256 b) => new(a._lo - b._lo, a._hi - b._hi);
    [MethodImpl(Jit.Inline)] public static Lanes256 operator *(Lanes256 a, Lanes256 b) => new(a._lo * b._lo, a._hi * b._hi);
    [MethodImpl(Jit.Inline)] public static Lanes256 operator /(Lanes256 a, Lanes256 b) => new(a._lo / b._lo, a._hi / b._hi);

    [MethodImpl(Jit.Inline)]
    public static Lanes256 FusedMultiplyAdd(Lanes256 a, Lanes256 b, Lanes256 c) =>
        new(Vector256.FusedMultiplyAdd(a._lo, b._lo, c._lo), Vector256.FusedMultiplyAdd(a._hi, b._hi, c._hi));

    [MethodImpl(Jit.Inline)] public static Lanes256 Max(Lanes256 a, Lanes256 b) => new(Avx.Max(a._lo, b._lo), Avx.Max(a._hi, b._hi));
    [MethodImpl(Jit.Inline)] public static Lanes256 Min(Lanes256 a, Lanes256 b) => new(Avx.Min(a._lo, b._lo), Avx.Min(a._hi, b._hi));
    [MethodImpl(Jit.Inline)] public static float MaxAcross(Lanes256 a) => Horizontal.Max(Avx.Max(a._lo, a._hi));
    [MethodImpl(Jit.Inline)] public static Lanes256 Abs(Lanes256 a) => new(Vector256.Abs(a._lo), Vector256.Abs(a._hi));

    [MethodImpl(Jit.Inline)]
    public static Lanes256 CopySign(Lanes256 a, Lanes256 sign) =>
        new(Vector256.CopySign(a._lo, sign._lo), Vector256.CopySign(a._hi, sign._hi));

    [MethodImpl(Jit.Inline)] public static Lanes256 Exp(Lanes256 a) => new(Exp(a._lo), Exp(a._hi));

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Exp(Vector256<float> a) => Vector256.Create(Elementary.Exp(a.GetLower()), Elementary.Exp(a.GetUpper()));

    [MethodImpl(Jit.Inline)]
    public static void Transpose(float* p, nint stride, float* to)
    {
        TransposeEight(p, stride, to);
        TransposeEight(p + 8 * stride, stride, to + 8);
    }

    [MethodImpl(Jit.Inline)]
    private static void TransposeEight(float* p, nint stride, float* to)
    {
        Vector256<float> a = TwoRows(p, stride), b = TwoRows(p + stride, stride);
        Vector256<float> c = TwoRows(p + 2 * stride, stride), d = TwoRows(p + 3 * stride, stride);
        Vector256<double> ab01 = Avx.UnpackLow(a, b).AsDouble(), ab23 = Avx.UnpackHigh(a, b).AsDouble();
        Vector256<double> cd01 = Avx.UnpackLow(c, d).AsDouble(), cd23 = Avx.UnpackHigh(c, d).AsDouble();
        Avx.UnpackLow(ab01, cd01).AsSingle().Store(to);
        Avx.UnpackHigh(ab01, cd01).AsSingle().Store(to + Lanes.Count);
        Avx.UnpackLow(ab23, cd23).AsSingle().Store(to + 2 * Lanes.Count);
        Avx.UnpackHigh(ab23, cd23).AsSingle().Store(to + 3 * Lanes.Count);
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> TwoRows(float* p, nint stride) =>
        Avx.InsertVector128(Vector128.Load(p).ToVector256Unsafe(), Vector128.Load(p + 4 * stride), 1);

    [MethodImpl(Jit.Inline)]
    public static Vector128<float> Sum(Lanes256 a, Lanes256 b, Lanes256 c, Lanes256 d) =>
        Horizontal.Sum(Fold(a), Fold(b), Fold(c), Fold(d));

    [MethodImpl(Jit.Inline)]
    private static Vector128<float> Fold(Lanes256 a)
    {
        Vector256<float> eight = a._lo + a._hi;
        return eight.GetLower() + eight.GetUpper();
    }
}
