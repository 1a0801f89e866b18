namespace Llama2.Simple;

/// <summary>
/// Neural net blocks; the dynamics of the Transformer. Every operation and its order are run.c's, in float, without
/// fused multiply-add or reassociation, so that every bit is run.c's too.
/// </summary>
public static class Nn
{
    /// <summary>Sum of a[i] * b[i], first to last.</summary>
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        float sum = 0;
        for (int i = 0; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    /// <summary>o = weight * x / rms(x), with 1e-5 added to the mean square; o may be x.</summary>
    public static void RmsNorm(Span<float> o, ReadOnlySpan<float> x, ReadOnlySpan<float> weight)
    {
        float ss = Dot(x, x);
        ss /= x.Length;
        ss += 1e-5f;
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
    /// The angles of RoPE at a position: pair i of a head turns by position / 10000^(2i / head_size) radians.
    /// run.c works them out anew for every layer and head; they are the same.
    /// </summary>
    /// <param name="cos">Receives the cosines: (head_size / 2,).</param>
    /// <param name="sin">Receives the sines: (head_size / 2,).</param>
    /// <param name="position">The position in the sequence, from 0.</param>
    public static void RopeAngles(Span<float> cos, Span<float> sin, int position)
    {
        float headSize = 2 * cos.Length;
        for (int i = 0; i < cos.Length; i++)
        {
            float freq = 1.0f / MathF.Pow(10000.0f, 2 * i / headSize);
            float val = position * freq;
            cos[i] = MathF.Cos(val);
            sin[i] = MathF.Sin(val);
        }
    }

    /// <summary>RoPE, relative positional encoding: rotates the pairs (2i, 2i + 1) of every head in <paramref name="vec"/>.</summary>
    public static void Rope(Span<float> vec, ReadOnlySpan<float> cos, ReadOnlySpan<float> sin)
    {
        for (int i = 0; i < vec.Length; i += 2)
        {
            float fcr = cos[i / 2 % cos.Length], fci = sin[i / 2 % sin.Length];
            float v0 = vec[i], v1 = vec[i + 1];
            vec[i] = v0 * fcr - v1 * fci;
            vec[i + 1] = v0 * fci + v1 * fcr;
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
}
