using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// The definition: what the lanes of the other kernels must do, written with one float at a time. Runs everywhere, for
/// tests and for machines without vectors.
/// </summary>
[InlineArray(16)]
internal unsafe struct LanesScalar : ILanes<LanesScalar>
{
    private const int Count = ILanes<LanesScalar>.Count;

    private float _lane0;

    public static bool IsSupported => true;

    public static bool HasRoomFor24 => false;

    public static LanesScalar Load(float* p) => LoadPartial(p, Count, 0);

    public static LanesScalar LoadPartial(float* p, int count, float rest)
    {
        LanesScalar v = default;
        for (int l = 0; l < Count; l++)
            v[l] = l < count ? p[l] : rest;
        return v;
    }

    public static void Store(float* p, LanesScalar v) => StorePartial(p, v, Count);

    public static void StorePartial(float* p, LanesScalar v, int count)
    {
        for (int l = 0; l < count; l++)
            p[l] = v[l];
    }

    public static void StoreInt8(sbyte* p, LanesScalar v)
    {
        for (int l = 0; l < Count; l++)
            p[l] = float.IsNaN(v[l]) ? (sbyte)0 : (sbyte)v[l];
    }

    public static LanesScalar Create(float value)
    {
        LanesScalar v = default;
        for (int l = 0; l < Count; l++)
            v[l] = value;
        return v;
    }

    public static LanesScalar operator +(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            a[l] += b[l];
        return a;
    }

    public static LanesScalar operator -(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            a[l] -= b[l];
        return a;
    }

    public static LanesScalar operator *(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            a[l] *= b[l];
        return a;
    }

    public static LanesScalar operator /(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            a[l] /= b[l];
        return a;
    }

    public static LanesScalar FusedMultiplyAdd(LanesScalar a, LanesScalar b, LanesScalar c)
    {
        for (int l = 0; l < Count; l++)
            c[l] = MathF.FusedMultiplyAdd(a[l], b[l], c[l]);
        return c;
    }

    public static LanesScalar Max(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            b[l] = a[l] > b[l] ? a[l] : b[l];
        return b;
    }

    public static LanesScalar Min(LanesScalar a, LanesScalar b)
    {
        for (int l = 0; l < Count; l++)
            b[l] = a[l] < b[l] ? a[l] : b[l];
        return b;
    }

    public static float Greatest(LanesScalar a)
    {
        for (int l = 1; l < Count; l++)
            a[0] = a[l] > a[0] ? a[l] : a[0];
        return a[0];
    }

    public static LanesScalar Abs(LanesScalar a)
    {
        for (int l = 0; l < Count; l++)
            a[l] = MathF.Abs(a[l]);
        return a;
    }

    public static LanesScalar Truncate(LanesScalar a)
    {
        for (int l = 0; l < Count; l++)
            a[l] = MathF.Truncate(a[l]);
        return a;
    }

    public static LanesScalar CopySign(LanesScalar a, LanesScalar sign)
    {
        for (int l = 0; l < Count; l++)
            a[l] = MathF.CopySign(a[l], sign[l]);
        return a;
    }

    public static LanesScalar Exp(LanesScalar a)
    {
        for (int l = 0; l < Count; l++)
            a[l] = Elementary.Exp(a[l]);
        return a;
    }

    public static void Transpose(float* p, nint stride, float* to)
    {
        for (int l = 0; l < Count; l++)
        {
            for (int i = 0; i < 4; i++)
                to[i * Count + l] = p[l * stride + i];
        }
    }

    public static float Sum(LanesScalar a)
    {
        for (int half = Count / 2; half > 0; half /= 2)
        {
            for (int l = 0; l < half; l++)
                a[l] += a[l + half];
        }
        return a[0];
    }

    public static Vector128<float> Sum(LanesScalar a, LanesScalar b, LanesScalar c, LanesScalar d) =>
        Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));
}
