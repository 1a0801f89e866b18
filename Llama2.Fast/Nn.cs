using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// Neural net blocks on whole lanes. Vectors named o, x, hb and att are the transformer's own: they start out as zeros and
/// have room up to the next multiple of sixteen. Weights end where they end.
/// </summary>
internal static unsafe class Nn<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Lanes = ILanes<TLanes>.Count;

    /// <summary>o = weight * (x / sqrt(x·x / n + 1e-5)), where x·x is summed as every dot product is; o may be x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RmsNorm(float* o, float* x, float* weight, int n)
    {
        float ss = MatMul<TLanes>.Dot(x, x, n);
        ss /= n;
        ss += 1e-5f;
        ss = 1.0f / MathF.Sqrt(ss);
        TLanes scale = TLanes.Create(ss);
        for (int j = 0; j < n; j += Lanes)
        {
            TLanes w = j + Lanes <= n ? TLanes.Load(weight + j) : TLanes.LoadPartial(weight + j, n - j, 0);
            TLanes.Store(o + j, w * (scale * TLanes.Load(x + j)));
        }
    }

    /// <summary>hb = hb / (1 + exp(-hb)) * hb2, SwiGLU.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu(float* hb, float* hb2, int n)
    {
        TLanes one = TLanes.Create(1), zero = TLanes.Create(0);
        for (int j = 0; j < n; j += Lanes)
        {
            TLanes x = TLanes.Load(hb + j);
            TLanes.Store(hb + j, x / (one + Exp(zero - x)) * TLanes.Load(hb2 + j));
        }
    }

    /// <summary>
    /// att = exp(att * scale - max) / sum of these, the maximum being there for numerical stability. The sum has sixteen lanes, lane l adding the elements t with
    /// t mod 16 = l in increasing t, then the halving tree.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax(float* att, int n, float scale)
    {
        for (int t = n; t % Lanes != 0; t++)
            att[t] = float.NegativeInfinity; // exp makes it 0, which changes no sum
        TLanes scales = TLanes.Create(scale), lanes = TLanes.Create(float.NegativeInfinity);
        for (int t = 0; t < n; t += Lanes)
        {
            TLanes x = TLanes.Load(att + t) * scales;
            lanes = TLanes.Max(x, lanes);
            TLanes.Store(att + t, x);
        }
        TLanes max = TLanes.Create(TLanes.Greatest(lanes)), sums = TLanes.Create(0);
        for (int t = 0; t < n; t += Lanes)
        {
            TLanes e = Exp(TLanes.Load(att + t) - max);
            sums += e;
            TLanes.Store(att + t, e);
        }
        sums = TLanes.Create(TLanes.Sum(sums));
        for (int t = 0; t < n; t += Lanes)
            TLanes.Store(att + t, TLanes.Load(att + t) / sums);
    }

    /// <summary>
    /// e^x = 2^k * e^r, where k = x / ln 2 to the nearest whole number and e^r is its Taylor polynomial to r^7 / 7!, whose
    /// next term is at most 5.2e-9 for |r| at most ln 2 / 2. 2^k in two factors, so that results overflow and become denormal as they should.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Exp(TLanes x)
    {
        const float ln2 = 0.693147180559945f, ln2Rest = (float)(0.693147180559945309 - ln2);
        TLanes whole = TLanes.Create(Exponent.Whole), one = TLanes.Create(1);
        x = TLanes.Max(TLanes.Create(-104), TLanes.Min(TLanes.Create(89), x)); // e^89 is infinite, e^-104 is 0; NaN stays
        TLanes k = TLanes.FusedMultiplyAdd(x, TLanes.Create(1.442695040888963f), whole) - whole;
        TLanes r = TLanes.FusedMultiplyAdd(k, TLanes.Create(-ln2), x);
        r = TLanes.FusedMultiplyAdd(k, TLanes.Create(-ln2Rest), r);
        TLanes e = TLanes.FusedMultiplyAdd(r, TLanes.Create(1f / 5040), TLanes.Create(1f / 720));
        e = TLanes.FusedMultiplyAdd(e, r, TLanes.Create(1f / 120));
        e = TLanes.FusedMultiplyAdd(e, r, TLanes.Create(1f / 24));
        e = TLanes.FusedMultiplyAdd(e, r, TLanes.Create(1f / 6));
        e = TLanes.FusedMultiplyAdd(e, r, TLanes.Create(1f / 2));
        e = TLanes.FusedMultiplyAdd(e, r, one);
        e = TLanes.FusedMultiplyAdd(e, r, one);
        TLanes half = TLanes.FusedMultiplyAdd(k, TLanes.Create(0.5f), whole) - whole;
        return e * TLanes.PowerOfTwo(half) * TLanes.PowerOfTwo(k - half);
    }

    /// <summary>Quantises x in groups: bit for bit Simple's <c>QuantizeActivations</c>, or its <c>QuantizeWeights</c>.</summary>
    /// <param name="x">The floats.</param>
    /// <param name="n">How many.</param>
    /// <param name="groupSize">Elements a group; the last may be shorter.</param>
    /// <param name="values">Receives the int8 values.</param>
    /// <param name="scales">Receives a scale for each group.</param>
    /// <param name="halvesToEven">Whether halves round to even, or else away from zero.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven)
    {
        sbyte* rest = stackalloc sbyte[Lanes];
        for (int start = 0; start < n; start += groupSize, scales++)
        {
            int count = Math.Min(groupSize, n - start);
            *scales = GreatestMagnitude(x + start, count) / 127;
            TLanes scale = TLanes.Create(*scales);
            int j = 0;
            for (; j + Lanes <= count; j += Lanes)
                TLanes.StoreInt8(values + start + j, ToInt8(TLanes.Load(x + start + j) / scale, halvesToEven));
            if (j < count)
            {
                TLanes.StoreInt8(rest, ToInt8(TLanes.LoadPartial(x + start + j, count - j, 0) / scale, halvesToEven));
                for (int l = 0; j + l < count; l++)
                    values[start + j + l] = rest[l];
            }
            if (n - start <= groupSize)
                return; // a group may be as great as an int
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float GreatestMagnitude(float* x, int n)
    {
        TLanes lanes = TLanes.Create(0);
        int j = 0;
        for (; j + Lanes <= n; j += Lanes)
            lanes = TLanes.Max(TLanes.Abs(TLanes.Load(x + j)), lanes); // NaN never is
        if (j < n)
            lanes = TLanes.Max(TLanes.Abs(TLanes.LoadPartial(x + j, n - j, 0)), lanes);
        return TLanes.Greatest(lanes);
    }

    // A quotient beyond 127 comes from a denormal scale that lost its digits. Away from zero: adding 0.5 would round
    // 0.49999997 up, as its sum with 0.5 is not a float; the greatest float below 0.5 does right by every magnitude here.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes ToInt8(TLanes quotient, bool halvesToEven)
    {
        TLanes x = TLanes.Max(TLanes.Create(-127), TLanes.Min(TLanes.Create(127), quotient)), whole = TLanes.Create(Exponent.Whole);
        return halvesToEven ? x + whole - whole : TLanes.Truncate(x + TLanes.CopySign(TLanes.Create(0.49999997f), x));
    }
}
