using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX-512: sixteen floats in one register.</summary>
internal readonly unsafe struct Lanes512(Vector512<float> v) : ILanes<Lanes512>
{
    private readonly Vector512<float> _v = v;

    public static bool IsSupported => Avx512F.IsSupported && Avx512DQ.IsSupported;
    public static bool Has32Registers => true;
    [MethodImpl(Jit.Inline)] public static Lanes512 Load(float* p) => new(Vector512.Load(p));

    [MethodImpl(Jit.Inline)]
    public static Lanes512 LoadPartial(float* p, int count, float rest) => new(Avx512F.MaskLoad(p, First(count), Vector512.Create(rest)));

    [MethodImpl(Jit.Inline)]
    private static Vector512<float> First(int count) => Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(count)).AsSingle();

    [MethodImpl(Jit.Inline)]
    public static Lanes512 LoadFloat16(ushort* p) => new(Halves.ToSingle(Avx512F.ConvertToVector512Int32(Vector256.Load(p))));

    [MethodImpl(Jit.Inline)]
    public static Lanes512 LoadBFloat16(ushort* p) => new((Avx512F.ConvertToVector512Int32(Vector256.Load(p)) << 16).AsSingle());

    [MethodImpl(Jit.Inline)] public static void Store(float* p, Lanes512 v) => v._v.Store(p);
    [MethodImpl(Jit.Inline)] public static void StorePartial(float* p, Lanes512 v, int count) => Avx512F.MaskStore(p, First(count), v._v);

    [MethodImpl(Jit.Inline)]
    public static void StoreInt8(sbyte* p, Lanes512 v) =>
        Avx512F.ConvertToVector128SByte(Vector512.ConvertToInt32(v._v)).Store(p);

    [MethodImpl(Jit.Inline)] public static Lanes512 Create(float value) => new(Vector512.Create(value));
    [MethodImpl(Jit.Inline)] public static Lanes512 operator +(Lanes512 a, Lanes512 b) => new(a._v + b._v);
    [MethodImpl(Jit.Inline)] public static Lanes512 operator -(Lanes512 a, Lanes512 b) => new(a._v - b._v);
    [MethodImpl(Jit.Inline)] public static Lanes512 operator *(Lanes512 a, Lanes512 b) => new(a._v * b._v);
    [MethodImpl(Jit.Inline)] public static Lanes512 operator /(Lanes512 a, Lanes512 b) => new(a._v / b._v);

    [MethodImpl(Jit.Inline)]
    public static Lanes512 FusedMultiplyAdd(Lanes512 a, Lanes512 b, Lanes512 c) => new(Vector512.FusedMultiplyAdd(a._v, b._v, c._v));
    [MethodImpl(Jit.Inline)] public static Lanes512 Max(Lanes512 a, Lanes512 b) => new(Avx512F.Max(a._v, b._v));
    [MethodImpl(Jit.Inline)] public static Lanes512 Min(Lanes512 a, Lanes512 b) => new(Avx512F.Min(a._v, b._v));
    [MethodImpl(Jit.Inline)] public static float MaxAcross(Lanes512 a) => Horizontal.Max(Avx.Max(a._v.GetLower(), a._v.GetUpper()));
    [MethodImpl(Jit.Inline)] public static Lanes512 Abs(Lanes512 a) => new(Vector512.Abs(a._v));
    [MethodImpl(Jit.Inline)] public static Lanes512 CopySign(Lanes512 a, Lanes512 sign) => new(Vector512.CopySign(a._v, sign._v));
    [MethodImpl(Jit.Inline)] public static Lanes512 Exp(Lanes512 a) => new(Elementary.Exp(a._v));

    [MethodImpl(Jit.Inline)]
    public static void Transpose(float* p, nint stride, float* to)
    {
        Vector512<float> a = EveryFourthRow(p, stride), b = EveryFourthRow(p + stride, stride);
        Vector512<float> c = EveryFourthRow(p + 2 * stride, stride), d = EveryFourthRow(p + 3 * stride, stride);
        Vector512<double> ab01 = Avx512F.UnpackLow(a, b).AsDouble(), ab23 = Avx512F.UnpackHigh(a, b).AsDouble();
        Vector512<double> cd01 = Avx512F.UnpackLow(c, d).AsDouble(), cd23 = Avx512F.UnpackHigh(c, d).AsDouble();
        Avx512F.UnpackLow(ab01, cd01).AsSingle().Store(to);
        Avx512F.UnpackHigh(ab01, cd01).AsSingle().Store(to + Lanes.Count);
        Avx512F.UnpackLow(ab23, cd23).AsSingle().Store(to + 2 * Lanes.Count);
        Avx512F.UnpackHigh(ab23, cd23).AsSingle().Store(to + 3 * Lanes.Count);
    }

    [MethodImpl(Jit.Inline)]
    private static Vector512<float> EveryFourthRow(float* p, nint stride)
    {
        Vector512<float> v = Vector128.Load(p).ToVector256Unsafe().ToVector512Unsafe();
        v = Avx512F.InsertVector128(v, Vector128.Load(p + 4 * stride), 1);
        v = Avx512F.InsertVector128(v, Vector128.Load(p + 8 * stride), 2);
        return Avx512F.InsertVector128(v, Vector128.Load(p + 12 * stride), 3);
    }

    [MethodImpl(Jit.Inline)]
    public static Vector128<float> Sum(Lanes512 a, Lanes512 b, Lanes512 c, Lanes512 d)
    {
        // Two sums share a register after the first step, four after the second.
        Vector512<float> ab = Fold8(a._v, b._v), cd = Fold8(c._v, d._v);                           // a0-7 b0-7, c0-7 d0-7
        Vector512<float> abcd = Avx512F.Shuffle4x128(ab, cd, 0b10_00_10_00) + Avx512F.Shuffle4x128(ab, cd, 0b11_01_11_01);
        abcd += Avx512F.Permute4x32(abcd, 0b01_00_11_10);
        abcd += Avx512F.Permute4x32(abcd, 0b10_11_00_01);
        return Avx512F.PermuteVar16x32(abcd, Vector512.Create(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).GetLower().GetLower();
    }

    [MethodImpl(Jit.Inline)]
    private static Vector512<float> Fold8(Vector512<float> a, Vector512<float> b) =>
        Avx512F.Shuffle4x128(a, b, 0b01_00_01_00) + Avx512F.Shuffle4x128(a, b, 0b11_10_11_10);
}
