using Quad = System.Runtime.Intrinsics.Vector128<float>;

namespace Llama2.Fast.Kernels;

/// <summary>Arm's AdvSimd, and any x86: sixteen floats in four registers. Nothing here belongs to one architecture.</summary>
internal readonly unsafe struct Lanes128(Quad a, Quad b, Quad c, Quad d) : ILanes<Lanes128>
{
    private readonly Quad _a = a, _b = b, _c = c, _d = d; // lanes 0-3, 4-7, 8-11, 12-15

    public static bool IsSupported => Vector128.IsHardwareAccelerated;
    public static bool Has32Registers => false;
    [MethodImpl(Jit.Inline)] public static Lanes128 Create(float value) => Create(Vector128.Create(value));
    [MethodImpl(Jit.Inline)] private static Lanes128 Create(Quad v) => new(v, v, v, v);

    [MethodImpl(Jit.Inline)]
    public static Lanes128 Load(float* p) => new(Vector128.Load(p), Vector128.Load(p + 4), Vector128.Load(p + 8), Vector128.Load(p + 12));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 LoadPartial(float* p, int count, float rest) =>
        new(Partial(p, count, rest), Partial(p + 4, count - 4, rest), Partial(p + 8, count - 8, rest), Partial(p + 12, count - 12, rest));

    // Neither a call nor a copy in memory, since a loop's accumulators would be spilt around them.
    [MethodImpl(Jit.Inline)]
    private static Quad Partial(float* p, int count, float rest)
    {
        if (count >= 4)
            return Vector128.Load(p);
        Quad v = Vector128.Create(rest);
        if (count > 0)
            v = v.WithElement(0, p[0]);
        if (count > 1)
            v = v.WithElement(1, p[1]);
        if (count > 2)
            v = v.WithElement(2, p[2]);
        return v;
    }

    [MethodImpl(Jit.Inline)]
    public static Lanes128 LoadFloat16(ushort* p)
    {
        (Vector128<uint> a, Vector128<uint> b) = Vector128.Widen(Vector128.Load(p));
        (Vector128<uint> c, Vector128<uint> d) = Vector128.Widen(Vector128.Load(p + 8));
        return new(Halves.ToSingle(a.AsInt32()), Halves.ToSingle(b.AsInt32()), Halves.ToSingle(c.AsInt32()), Halves.ToSingle(d.AsInt32()));
    }

    [MethodImpl(Jit.Inline)]
    public static Lanes128 LoadBFloat16(ushort* p)
    {
        (Vector128<uint> a, Vector128<uint> b) = Vector128.Widen(Vector128.Load(p));
        (Vector128<uint> c, Vector128<uint> d) = Vector128.Widen(Vector128.Load(p + 8));
        return new((a << 16).AsSingle(), (b << 16).AsSingle(), (c << 16).AsSingle(), (d << 16).AsSingle());
    }

    [MethodImpl(Jit.Inline)]
    public static void Store(float* p, Lanes128 v)
    {
        v._a.Store(p);
        v._b.Store(p + 4);
        v._c.Store(p + 8);
        v._d.Store(p + 12);
    }

    public static void StorePartial(float* p, Lanes128 v, int count) => new Span<float>(&v, count).CopyTo(new Span<float>(p, count));

    [MethodImpl(Jit.Inline)]
    public static void StoreInt8(sbyte* p, Lanes128 v)
    {
        Vector128<short> lower = Vector128.Narrow(Vector128.ConvertToInt32(v._a), Vector128.ConvertToInt32(v._b));
        Vector128<short> upper = Vector128.Narrow(Vector128.ConvertToInt32(v._c), Vector128.ConvertToInt32(v._d));
        Vector128.Narrow(lower, upper).Store(p);
    }

    [MethodImpl(Jit.Inline)]
    public static Lanes128 operator +(Lanes128 a, Lanes128 b) => new(a._a + b._a, a._b + b._b, a._c + b._c, a._d + b._d);

    [MethodImpl(Jit.Inline)]
    public static Lanes128 operator -(Lanes128 a, Lanes128 b) => new(a._a - b._a, a._b - b._b, a._c - b._c, a._d - b._d);

    [MethodImpl(Jit.Inline)]
    public static Lanes128 operator *(Lanes128 a, Lanes128 b) => new(a._a * b._a, a._b * b._b, a._c * b._c, a._d * b._d);

    [MethodImpl(Jit.Inline)]
    public static Lanes128 operator /(Lanes128 a, Lanes128 b) => new(a._a / b._a, a._b / b._b, a._c / b._c, a._d / b._d);

    [MethodImpl(Jit.Inline)]
    public static Lanes128 FusedMultiplyAdd(Lanes128 a, Lanes128 b, Lanes128 c) => new(
        Vector128.FusedMultiplyAdd(a._a, b._a, c._a), Vector128.FusedMultiplyAdd(a._b, b._b, c._b),
        Vector128.FusedMultiplyAdd(a._c, b._c, c._c), Vector128.FusedMultiplyAdd(a._d, b._d, c._d));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 Max(Lanes128 a, Lanes128 b) => new(Max(a._a, b._a), Max(a._b, b._b), Max(a._c, b._c), Max(a._d, b._d));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 Min(Lanes128 a, Lanes128 b) => new(Min(a._a, b._a), Min(a._b, b._b), Min(a._c, b._c), Min(a._d, b._d));

    // Spelt out, since Arm's own maximum gives NaN where x86's gives b.
    [MethodImpl(Jit.Inline)] private static Quad Max(Quad a, Quad b) => Vector128.ConditionalSelect(Vector128.GreaterThan(a, b), a, b);
    [MethodImpl(Jit.Inline)] private static Quad Min(Quad a, Quad b) => Vector128.ConditionalSelect(Vector128.LessThan(a, b), a, b);
    [MethodImpl(Jit.Inline)] public static float MaxAcross(Lanes128 a) => Horizontal.Max(Max(Max(a._a, a._b), Max(a._c, a._d)));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 Abs(Lanes128 a) => new(Vector128.Abs(a._a), Vector128.Abs(a._b), Vector128.Abs(a._c), Vector128.Abs(a._d));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 CopySign(Lanes128 a, Lanes128 sign) => new(
        Vector128.CopySign(a._a, sign._a), Vector128.CopySign(a._b, sign._b),
        Vector128.CopySign(a._c, sign._c), Vector128.CopySign(a._d, sign._d));

    [MethodImpl(Jit.Inline)]
    public static Lanes128 Exp(Lanes128 a) => new(Elementary.Exp(a._a), Elementary.Exp(a._b), Elementary.Exp(a._c), Elementary.Exp(a._d));

    [MethodImpl(Jit.Inline)]
    public static void Transpose(float* p, nint stride, float* to)
    {
        for (int l = 0; l < Lanes.Count; l += 4, p += 4 * stride, to += 4)
        {
            Quad a = Vector128.Load(p), b = Vector128.Load(p + stride);
            Quad c = Vector128.Load(p + 2 * stride), d = Vector128.Load(p + 3 * stride);
            Horizontal.Transpose(ref a, ref b, ref c, ref d);
            a.Store(to);
            b.Store(to + Lanes.Count);
            c.Store(to + 2 * Lanes.Count);
            d.Store(to + 3 * Lanes.Count);
        }
    }

    [MethodImpl(Jit.Inline)]
    public static Quad Sum(Lanes128 a, Lanes128 b, Lanes128 c, Lanes128 d) => Horizontal.Sum(Fold(a), Fold(b), Fold(c), Fold(d));
    [MethodImpl(Jit.Inline)] private static Quad Fold(Lanes128 a) => a._a + a._c + (a._b + a._d);
}
