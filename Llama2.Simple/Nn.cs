using System.Runtime.CompilerServices;

namespace Llama2.Simple;

/// <summary>
/// Neural net blocks; the dynamics of the Transformer. Every operation and its order are run.c's, in float, without fused multiply-add or
/// reassociation, so that every bit is run.c's too.
/// </summary>
/// <remarks>AggressiveOptimization skips tiered compilation where most time is spent; the first tokens would run slow code.</remarks>
public static class Nn
{
    /// <summary>Sum of a[i] * b[i], first to last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        float sum = 0;
        for (int i = 0; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    /// <summary>
    /// xout[i] = dot product of row i of <paramref name="w"/>, (rows, columns), with <paramref name="x"/>, (columns,). Four independent
    /// sums hide the latency of addition; each keeps run.c's order.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MatMul(Span<float> xout, ReadOnlySpan<float> x, ReadOnlySpan<float> w)
    {
        int n = x.Length, i = 0;
        for (; i + 4 <= xout.Length; i += 4)
        {
            ReadOnlySpan<float> w0 = w.Slice(i * n, n), w1 = w.Slice((i + 1) * n, n);
            ReadOnlySpan<float> w2 = w.Slice((i + 2) * n, n), w3 = w.Slice((i + 3) * n, n);
            float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
            for (int j = 0; j < x.Length; j++)
            {
                sum0 += w0[j] * x[j];
                sum1 += w1[j] * x[j];
                sum2 += w2[j] * x[j];
                sum3 += w3[j] * x[j];
            }
            (xout[i], xout[i + 1], xout[i + 2], xout[i + 3]) = (sum0, sum1, sum2, sum3);
        }
        for (; i < xout.Length; i++)
            xout[i] = Dot(w.Slice(i * n, n), x);
    }

    /// <summary>o = weight * x / rms(x), with epsilon added to the mean square; o may be x.</summary>
    public static void RmsNorm(Span<float> o, ReadOnlySpan<float> x, ReadOnlySpan<float> weight, float epsilon)
    {
        float ss = Dot(x, x);
        ss /= x.Length;
        ss += epsilon;
        ss = 1.0f / MathF.Sqrt(ss);
        for (int j = 0; j < x.Length; j++)
            o[j] = weight[j] * (ss * x[j]);
    }

    /// <summary>x[i] = exp(x[i] - max(x)) / sum of these: a probability distribution in place.</summary>
    public static void Softmax(Span<float> x)
    {
        float max = x[0]; // for numerical stability
        for (int i = 1; i < x.Length; i++)
        {
            if (x[i] > max)
                max = x[i];
        }
        float sum = 0;
        for (int i = 0; i < x.Length; i++)
        {
            x[i] = MathF.Exp(x[i] - max);
            sum += x[i];
        }
        for (int i = 0; i < x.Length; i++)
            x[i] /= sum;
    }

    /// <summary>
    /// RoPE's frequencies, in radians a position: 1 / base^(2i / rope_dim) for pair i, divided by the pair's own factor where a model has
    /// factors, and scaled where the config says so. run.c works them out anew for every layer and head; they are the same.
    /// </summary>
    /// <param name="factors">Divisors of the pairs' frequencies, as Llama 3.1 has them: (rope_dim / 2,), or empty.</param>
    /// <returns>(rope_dim / 2,)</returns>
    public static float[] RopeFrequencies(Config config, ReadOnlySpan<float> factors)
    {
        float[] frequencies = new float[config.RopeDim / 2];
        float ropeDim = config.RopeDim;
        for (int i = 0; i < frequencies.Length; i++)
        {
            float freq = 1.0f / MathF.Pow(config.RopeBase, 2 * i / ropeDim);
            frequencies[i] = ScaleFrequency(config, factors, i, freq);
        }
        return frequencies;
    }

    /// <summary>The frequency of pair i after the model's factors and the config's scaling.</summary>
    public static float ScaleFrequency(Config config, ReadOnlySpan<float> factors, int i, float frequency)
    {
        if (factors.Length > 0)
            frequency /= factors[i];
        return config.RopeScaling is { } scaling ? scaling.Apply(i, frequency) : frequency;
    }

    /// <summary>The angles of RoPE at a position; the pairs behind the last frequency do not turn.</summary>
    /// <param name="cos">Receives (head_size / 2,).</param>
    /// <param name="sin">Receives (head_size / 2,).</param>
    /// <param name="position">From 0.</param>
    /// <param name="frequencies">The <see cref="RopeFrequencies"/>.</param>
    /// <param name="magnitude"><see cref="RopeScaling.Magnitude"/>, or 1.</param>
    public static void RopeAngles(Span<float> cos, Span<float> sin, int position, ReadOnlySpan<float> frequencies, float magnitude)
    {
        for (int i = 0; i < frequencies.Length; i++)
        {
            float val = position * frequencies[i];
            cos[i] = MathF.Cos(val) * magnitude;
            sin[i] = MathF.Sin(val) * magnitude;
        }
        cos[frequencies.Length..].Fill(1);
        sin[frequencies.Length..].Clear();
    }

    /// <summary>RoPE, relative positional encoding: rotates the pairs (2i, 2i + 1) of every head in <paramref name="vec"/>.</summary>
    public static void Rope(Span<float> vec, ReadOnlySpan<float> cos, ReadOnlySpan<float> sin)
    {
        for (Span<float> heads = vec; heads.Length > 0; heads = heads[(2 * cos.Length)..])
        {
            for (int i = 0; i < cos.Length; i++)
            {
                float v0 = heads[2 * i], v1 = heads[2 * i + 1];
                heads[2 * i] = v0 * cos[i] - v1 * sin[i];
                heads[2 * i + 1] = v0 * sin[i] + v1 * cos[i];
            }
        }
    }

    /// <summary>hb = silu(hb) * hb2, where silu(x) = x * σ(x) and σ is the logistic sigmoid.</summary>
    public static void SwiGlu(Span<float> hb, ReadOnlySpan<float> hb2)
    {
        for (int i = 0; i < hb.Length; i++)
        {
            float val = hb[i];
            val *= 1.0f / (1.0f + MathF.Exp(-val));
            val *= hb2[i];
            hb[i] = val;
        }
    }

    /// <summary>x += y, the residual connection.</summary>
    public static void Add(Span<float> x, ReadOnlySpan<float> y)
    {
        for (int i = 0; i < x.Length; i++)
            x[i] += y[i];
    }

    /// <summary>x += y, a bias; nothing where a model has none.</summary>
    public static void AddBias(Span<float> x, ReadOnlySpan<float> y)
    {
        if (y.Length > 0)
            Add(x, y);
    }

    /// <summary>x += a * y.</summary>
    public static void AddScaled(Span<float> x, ReadOnlySpan<float> y, float a)
    {
        for (int i = 0; i < x.Length; i++)
            x[i] += a * y[i];
    }
}
