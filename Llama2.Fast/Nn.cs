using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// Neural net blocks on whole lanes, with the operations of Simple's in Simple's order and so with their bits. Vectors named o, x, hb and att are the transformer's own: they start out as zeros and
/// have room up to the next multiple of sixteen. Weights end where they end.
/// </summary>
internal static unsafe class Nn<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Lanes = ILanes<TLanes>.Count;
    private const float Whole = 12582912; // 1.5 * 2^23: adding it leaves no room for a fraction

    /// <summary>o = weight * x / rms(x), with 1e-5 added to the mean square; o may be x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RmsNorm(float* o, float* x, float* weight, int n)
    {
        float ss = 0;
        for (int j = 0; j < n; j++)
            ss += x[j] * x[j];
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

    /// <summary>hb = silu(hb) * hb2, SwiGLU.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu(float* hb, float* hb2, int n)
    {
        TLanes one = TLanes.Create(1), zero = TLanes.Create(0);
        for (int j = 0; j < n; j += Lanes)
        {
            TLanes x = TLanes.Load(hb + j);
            TLanes.Store(hb + j, x * (one / (one + TLanes.Exp(zero - x))) * TLanes.Load(hb2 + j));
        }
    }

    /// <summary>x = exp(x - max(x)) / sum of these, summed first to last. Whole lanes are written.</summary>
    public static void Softmax(float* x, int n)
    {
        ExpOfDifferences(x, n);
        float sum = 0;
        for (int t = 0; t < n; t++)
            sum += x[t];
        Divide(x, n, sum);
    }

    /// <summary>x = exp(x - max(x)), the first of softmax's steps.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ExpOfDifferences(float* x, int n)
    {
        for (int t = n; t % Lanes != 0; t++)
            x[t] = float.NegativeInfinity; // never the maximum
        TLanes lanes = TLanes.Create(float.NegativeInfinity);
        for (int t = 0; t < n; t += Lanes)
            lanes = TLanes.Max(TLanes.Load(x + t), lanes);
        TLanes max = TLanes.Create(TLanes.Greatest(lanes));
        for (int t = 0; t < n; t += Lanes)
            TLanes.Store(x + t, TLanes.Exp(TLanes.Load(x + t) - max));
    }

    /// <summary>x = x / divisor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Divide(float* x, int n, float divisor)
    {
        TLanes divisors = TLanes.Create(divisor);
        for (int t = 0; t < n; t += Lanes)
            TLanes.Store(x + t, TLanes.Load(x + t) / divisors);
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
        TLanes x = TLanes.Max(TLanes.Create(-127), TLanes.Min(TLanes.Create(127), quotient)), whole = TLanes.Create(Whole);
        return halvesToEven ? x + whole - whole : TLanes.Truncate(x + TLanes.CopySign(TLanes.Create(0.49999997f), x));
    }
}
