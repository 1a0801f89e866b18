namespace Llama2.Fast.Kernels;

/// <summary>
/// The definition of what all lanes compute, written one float at a time. It runs everywhere, for tests and for machines without vectors.
/// </summary>
[InlineArray(Lanes.Count)]
internal unsafe struct LanesScalar : ILanes<LanesScalar>
{
    private float _lane0;

    public static bool IsSupported => true;
    public static bool Has32Registers => false;
    public static LanesScalar Create(float value) => LoadPartial(null, 0, value);
    public static LanesScalar operator +(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x + y);
    public static LanesScalar operator -(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x - y);
    public static LanesScalar operator *(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x * y);
    public static LanesScalar operator /(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x / y);
    public static LanesScalar Max(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x > y ? x : y);
    public static LanesScalar Min(LanesScalar a, LanesScalar b) => Each(a, b, static (x, y) => x < y ? x : y);
    public static LanesScalar CopySign(LanesScalar a, LanesScalar sign) => Each(a, sign, MathF.CopySign);
    public static LanesScalar Abs(LanesScalar a) => Each(a, MathF.Abs);
    public static LanesScalar Exp(LanesScalar a) => Each(a, Elementary.Exp);
    public static LanesScalar Load(float* p) => LoadPartial(p, Lanes.Count, 0);
    public static void Store(float* p, LanesScalar v) => *(LanesScalar*)p = v;

    private static LanesScalar Each(LanesScalar a, Func<float, float> operation)
    {
        for (int l = 0; l < Lanes.Count; l++)
            a[l] = operation(a[l]);
        return a;
    }

    private static LanesScalar Each(LanesScalar a, LanesScalar b, Func<float, float, float> operation)
    {
        for (int l = 0; l < Lanes.Count; l++)
            a[l] = operation(a[l], b[l]);
        return a;
    }

    public static LanesScalar FusedMultiplyAdd(LanesScalar a, LanesScalar b, LanesScalar c)
    {
        for (int l = 0; l < Lanes.Count; l++)
            c[l] = MathF.FusedMultiplyAdd(a[l], b[l], c[l]);
        return c;
    }

    public static LanesScalar LoadPartial(float* p, int count, float rest)
    {
        LanesScalar v = default;
        for (int l = 0; l < Lanes.Count; l++)
            v[l] = l < count ? p[l] : rest;
        return v;
    }

    public static LanesScalar LoadFloat16(ushort* p)
    {
        LanesScalar v = default;
        for (int l = 0; l < Lanes.Count; l++)
            v[l] = (float)BitConverter.UInt16BitsToHalf(p[l]);
        return v;
    }

    public static LanesScalar LoadBFloat16(ushort* p)
    {
        LanesScalar v = default;
        for (int l = 0; l < Lanes.Count; l++)
            v[l] = BitConverter.UInt32BitsToSingle((uint)p[l] << 16);
        return v;
    }

    public static void StorePartial(float* p, LanesScalar v, int count) => new Span<float>(&v, count).CopyTo(new Span<float>(p, count));

    public static void StoreInt8(sbyte* p, LanesScalar v)
    {
        for (int l = 0; l < Lanes.Count; l++)
            p[l] = float.IsNaN(v[l]) ? (sbyte)0 : (sbyte)v[l];
    }

    public static float MaxAcross(LanesScalar a)
    {
        for (int l = 1; l < Lanes.Count; l++)
            a[0] = a[l] > a[0] ? a[l] : a[0];
        return a[0];
    }

    public static void Transpose(float* p, nint stride, float* to)
    {
        for (int i = 0; i < 4 * Lanes.Count; i++)
            to[i] = p[i % Lanes.Count * stride + i / Lanes.Count];
    }

    private static float Sum(LanesScalar a)
    {
        for (int half = Lanes.Count / 2; half > 0; half /= 2)
        {
            for (int l = 0; l < half; l++)
                a[l] += a[l + half];
        }
        return a[0];
    }

    public static Vector128<float> Sum(LanesScalar a, LanesScalar b, LanesScalar c, LanesScalar d) =>
        Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));
}
