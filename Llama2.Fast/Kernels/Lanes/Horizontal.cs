using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using Quad = System.Runtime.Intrinsics.Vector128<float>;

namespace Llama2.Fast.Kernels;

/// <summary>
/// The last two steps of the horizontal sum, the horizontal maximum, and the transposition of four registers. The instructions are spelt
/// out, since .NET passes halves of registers through memory otherwise.
/// </summary>
internal static class Horizontal
{
    /// <summary>The sums of four vectors: (v0 + v2) + (v1 + v3) each.</summary>
    [MethodImpl(Jit.Inline)]
    public static Quad Sum(Quad a, Quad b, Quad c, Quad d)
    {
        Quad ab = Low(a, b) + High(a, b), cd = Low(c, d) + High(c, d); // a02 a13 b02 b13, c02 c13 d02 d13
        return Sse.IsSupported ? Sse.Shuffle(ab, cd, 0b10_00_10_00) + Sse.Shuffle(ab, cd, 0b11_01_11_01)
            : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.AddPairwise(ab, cd)
            : Vector128.Create(ab[0] + ab[1], ab[2] + ab[3], cd[0] + cd[1], cd[2] + cd[3]);
    }

    [MethodImpl(Jit.Inline)] public static float Max(Vector256<float> v) => Max(Vector128.Max(v.GetLower(), v.GetUpper()));

    [MethodImpl(Jit.Inline)]
    public static float Max(Quad v)
    {
        v = Vector128.Max(v, Vector128.Shuffle(v, Vector128.Create(2, 3, 0, 1)));
        return MathF.Max(v[0], v[1]);
    }

    /// <summary>A transposition: element i of each goes to vector i.</summary>
    [MethodImpl(Jit.Inline)]
    public static void Transpose(ref Quad a, ref Quad b, ref Quad c, ref Quad d)
    {
        Quad ab01 = ZipLow(a, b), ab23 = ZipHigh(a, b), cd01 = ZipLow(c, d), cd23 = ZipHigh(c, d);
        (a, b, c, d) = (Low(ab01, cd01), High(ab01, cd01), Low(ab23, cd23), High(ab23, cd23));
    }

    /// <summary>to[j * stride + i] = from[i * columns + j], for four rows i.</summary>
    [MethodImpl(Jit.Optimize)]
    public static unsafe void Transpose(float* from, nint columns, float* to, nint stride)
    {
        nint j = 0;
        for (; j + 4 <= columns; j += 4, to += 4 * stride)
        {
            Quad a = Vector128.Load(from + j), b = Vector128.Load(from + columns + j);
            Quad c = Vector128.Load(from + 2 * columns + j), d = Vector128.Load(from + 3 * columns + j);
            Transpose(ref a, ref b, ref c, ref d);
            a.Store(to);
            b.Store(to + stride);
            c.Store(to + 2 * stride);
            d.Store(to + 3 * stride);
        }
        for (; j < columns; j++, to += stride)
        {
            for (int i = 0; i < 4; i++)
                to[i] = from[i * columns + j];
        }
    }

    // a0 a1 b0 b1
    [MethodImpl(Jit.Inline)]
    private static Quad Low(Quad a, Quad b) => Sse.IsSupported ? Sse.MoveLowToHigh(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(a.AsDouble(), b.AsDouble()).AsSingle()
        : Vector128.Create(a.GetLower(), b.GetLower());

    // a2 a3 b2 b3
    [MethodImpl(Jit.Inline)]
    private static Quad High(Quad a, Quad b) => Sse.IsSupported ? Sse.MoveHighToLow(b, a)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(a.AsDouble(), b.AsDouble()).AsSingle()
        : Vector128.Create(a.GetUpper(), b.GetUpper());

    /// <summary>
    /// o[i * apart] (+)= v[i], for i below count, which is 1 to 4. No loop, since .NET would write v to memory for each element.
    /// </summary>
    [MethodImpl(Jit.Inline)]
    public static unsafe void Scatter(Quad v, float* o, nint apart, int count, bool add)
    {
        Put(o, v[0], add);
        if (count > 1)
            Put(o + apart, v[1], add);
        if (count > 2)
            Put(o + 2 * apart, v[2], add);
        if (count > 3)
            Put(o + 3 * apart, v[3], add);
    }

    [MethodImpl(Jit.Inline)] private static unsafe void Put(float* o, float value, bool add) => *o = add ? *o + value : value;

    /// <summary>a0 b0 a1 b1.</summary>
    [MethodImpl(Jit.Inline)]
    public static Quad ZipLow(Quad a, Quad b) => Sse.IsSupported ? Sse.UnpackLow(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(a, b) : Vector128.Create(a[0], b[0], a[1], b[1]);

    /// <summary>a2 b2 a3 b3.</summary>
    [MethodImpl(Jit.Inline)]
    public static Quad ZipHigh(Quad a, Quad b) => Sse.IsSupported ? Sse.UnpackHigh(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(a, b) : Vector128.Create(a[2], b[2], a[3], b[3]);

    /// <summary>In each half: a0 b0 a1 b1 a2 b2 a3 b3, and the same of 4 to 7, where each is of 16 bits.</summary>
    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Low, Vector256<float> High) ZipPairs(Vector256<byte> a, Vector256<byte> b) => Avx2.IsSupported
        ? (Avx2.UnpackLow(a.AsInt16(), b.AsInt16()).AsSingle(), Avx2.UnpackHigh(a.AsInt16(), b.AsInt16()).AsSingle())
        : Halves(ZipPairs(a.GetLower(), b.GetLower()), ZipPairs(a.GetUpper(), b.GetUpper()));

    /// <summary>In each half: a0 b0 a1 b1, and a2 b2 a3 b3.</summary>
    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Low, Vector256<float> High) Zip(Vector256<float> a, Vector256<float> b) => Avx.IsSupported
        ? (Avx.UnpackLow(a, b), Avx.UnpackHigh(a, b))
        : Halves((ZipLow(a.GetLower(), b.GetLower()), ZipHigh(a.GetLower(), b.GetLower())),
            (ZipLow(a.GetUpper(), b.GetUpper()), ZipHigh(a.GetUpper(), b.GetUpper())));

    /// <summary>In each half: a0 a1 b0 b1, and a2 a3 b2 b3.</summary>
    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Low, Vector256<float> High) ZipTwos(Vector256<float> a, Vector256<float> b) => Avx.IsSupported
        ? (Avx.UnpackLow(a.AsDouble(), b.AsDouble()).AsSingle(), Avx.UnpackHigh(a.AsDouble(), b.AsDouble()).AsSingle())
        : Halves((Low(a.GetLower(), b.GetLower()), High(a.GetLower(), b.GetLower())),
            (Low(a.GetUpper(), b.GetUpper()), High(a.GetUpper(), b.GetUpper())));

    [MethodImpl(Jit.Inline)]
    private static (Vector256<float> Low, Vector256<float> High) Halves((Quad Low, Quad High) lower, (Quad Low, Quad High) upper) =>
        (Vector256.Create(lower.Low, upper.Low), Vector256.Create(lower.High, upper.High));

    [MethodImpl(Jit.Inline)]
    private static (Quad Low, Quad High) ZipPairs(Vector128<byte> a, Vector128<byte> b)
    {
        if (Sse2.IsSupported)
            return (Sse2.UnpackLow(a.AsInt16(), b.AsInt16()).AsSingle(), Sse2.UnpackHigh(a.AsInt16(), b.AsInt16()).AsSingle());
        if (AdvSimd.Arm64.IsSupported)
            return (AdvSimd.Arm64.ZipLow(a.AsInt16(), b.AsInt16()).AsSingle(), AdvSimd.Arm64.ZipHigh(a.AsInt16(), b.AsInt16()).AsSingle());
        Vector128<short> low = default, high = default;
        for (int i = 0; i < 4; i++)
        {
            low = low.WithElement(2 * i, a.AsInt16()[i]).WithElement(2 * i + 1, b.AsInt16()[i]);
            high = high.WithElement(2 * i, a.AsInt16()[4 + i]).WithElement(2 * i + 1, b.AsInt16()[4 + i]);
        }
        return (low.AsSingle(), high.AsSingle());
    }
}
