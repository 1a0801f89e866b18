namespace Llama2.Tests.Properties;

/// <summary>
/// The forward pass in double precision, and with every number a bound on how far any float32 implementation may be from
/// it, whatever the order of its sums, fused or not: a running error analysis (N. J. Higham, Accuracy and Stability of
/// Numerical Algorithms, chapters 3 and 4). Two implementations then differ by at most the sum of both their bounds.
/// </summary>
/// <param name="config">The model's shape.</param>
/// <param name="weights">Its weights, float32.</param>
internal sealed class BoundedForward(Config config, Weights weights)
{
    private const double U = 1.0 / (1 << 24); // rounding to nearest changes a float by at most this part of it
    private const double Vanishing = 1e-37;   // what may get lost to denormal numbers, generously

    /// <summary>A number, and how far from it a float32 computation of it may be.</summary>
    public readonly record struct Bounded(double Value, double Error)
    {
        public double Error { get; } = double.IsNaN(Error) ? double.PositiveInfinity : Error; // 0 times infinity: nothing is known

        public double Most => Math.Abs(Value) + Error;

        public static Bounded operator +(Bounded a, Bounded b) => Rounded(a.Value + b.Value, a.Error + b.Error, 1);

        public static Bounded operator *(Bounded a, Bounded b) =>
            Rounded(a.Value * b.Value, Math.Abs(a.Value) * b.Error + a.Error * b.Most, 1);

        /// <summary>The result of so many roundings of numbers no greater than it.</summary>
        public static Bounded Rounded(double value, double error, int roundings) =>
            new(value, error + 1.01 * roundings * U * (Math.Abs(value) + error) + Vanishing);
    }

    private readonly List<(Bounded[] Key, Bounded[] Value)>[] _cache = [.. weights.Layers.Select(_ => new List<(Bounded[], Bounded[])>())];

    /// <summary>The logits after the next token of the sequence.</summary>
    public Bounded[] Next(int token)
    {
        float[] embedding = new float[config.Dim];
        weights.TokenEmbedding.CopyRow(token, embedding);
        Bounded[] x = [.. embedding.Select(value => Bounded.Rounded(value, 0, 1))];
        for (int l = 0; l < config.LayerCount; l++)
        {
            LayerWeights w = weights.Layers[l];
            int position = _cache[l].Count;
            Bounded[] xb = RmsNorm(x, w.RmsAtt.Span);
            Bounded[] q = Rope(Multiply(w.Wq, xb), position);
            _cache[l].Add((Rope(Multiply(w.Wk, xb), position), Multiply(w.Wv, xb)));
            x = Add(x, Multiply(w.Wo, Attention(q, _cache[l])));

            xb = RmsNorm(x, w.RmsFfn.Span);
            Bounded[] gate = Multiply(w.W1, xb), up = Multiply(w.W3, xb);
            x = Add(x, Multiply(w.W2, [.. gate.Select((a, i) => Silu(a) * up[i])]));
        }
        return Multiply(weights.Classifier, RmsNorm(x, weights.RmsFinal.Span));
    }

    private static Bounded[] Add(Bounded[] a, Bounded[] b) => [.. a.Select((value, i) => value + b[i])];

    /// <summary>Any order of n products and sums is off by at most n u sum |a b|, to first order.</summary>
    private static Bounded Dot(ReadOnlySpan<Bounded> a, ReadOnlySpan<Bounded> b)
    {
        double sum = 0, error = 0, most = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i].Value * b[i].Value;
            error += Math.Abs(a[i].Value) * b[i].Error + a[i].Error * b[i].Most;
            most += a[i].Most * b[i].Most;
        }
        return new(sum, error + 1.01 * (a.Length + 4) * U * most + a.Length * Vanishing);
    }

    private static Bounded[] Multiply(Tensor w, Bounded[] x)
    {
        float[] floats = new float[w.Columns];
        Bounded[] row = new Bounded[w.Columns], output = new Bounded[w.Rows];
        for (int i = 0; i < w.Rows; i++)
        {
            w.CopyRow(i, floats);
            for (int j = 0; j < row.Length; j++)
                row[j] = new(floats[j], 0);
            output[i] = Dot(row, x);
        }
        return output;
    }

    private static Bounded[] RmsNorm(Bounded[] x, ReadOnlySpan<float> weight)
    {
        Bounded squares = Dot(x, x), mean = Bounded.Rounded(squares.Value / x.Length, squares.Error / x.Length, 2);
        Bounded ss = mean + new Bounded(1e-5, U * 1e-5);
        double scale = 1 / Math.Sqrt(ss.Value);
        double above = 1 / Math.Sqrt(Math.Max(ss.Value - ss.Error, 0.99e-5)) - scale, below = scale - 1 / Math.Sqrt(ss.Value + ss.Error);
        Bounded r = Bounded.Rounded(scale, Math.Max(above, below), 4);
        Bounded[] o = new Bounded[x.Length];
        for (int j = 0; j < o.Length; j++)
        {
            Bounded normal = r * x[j]; // whatever x is, its square is at most n
            o[j] = new Bounded(weight[j], 0) * new Bounded(normal.Value, Math.Min(normal.Error, 2.01 * Math.Sqrt(x.Length)));
        }
        return o;
    }

    /// <summary>A frequency is off by at most 13 u (powf's argument is rounded, too), an angle by 14 u, its sine by 2 u more.</summary>
    private Bounded[] Rope(Bounded[] vec, int position)
    {
        Bounded[] turned = new Bounded[vec.Length];
        for (int i = 0; i < vec.Length; i += 2)
        {
            double angle = position / Math.Pow(10000, i % config.HeadSize / (double)config.HeadSize), error = 16 * U * angle + 2 * U;
            Bounded cos = new(Math.Cos(angle), error), sin = new(Math.Sin(angle), error), minusSin = new(-sin.Value, error);
            turned[i] = vec[i] * cos + vec[i + 1] * minusSin;
            turned[i + 1] = vec[i] * sin + vec[i + 1] * cos;
        }
        return turned;
    }

    private Bounded[] Attention(Bounded[] q, List<(Bounded[] Key, Bounded[] Value)> cache)
    {
        int headSize = config.HeadSize;
        Bounded[] xb = new Bounded[config.Dim];
        for (int h = 0; h < config.HeadCount; h++)
        {
            int kvHead = h / config.KvMul * headSize;
            Bounded[] scores = new Bounded[cache.Count];
            for (int t = 0; t < scores.Length; t++)
            {
                Bounded dot = Dot(q.AsSpan(h * headSize, headSize), cache[t].Key.AsSpan(kvHead, headSize));
                scores[t] = Bounded.Rounded(dot.Value / Math.Sqrt(headSize), dot.Error / Math.Sqrt(headSize), 4);
            }
            Bounded[] att = Softmax(scores);
            for (int i = 0; i < headSize; i++)
                xb[h * headSize + i] = Dot(att, [.. cache.Select(entry => entry.Value[kvHead + i])]);
        }
        return xb;
    }

    private static Bounded[] Softmax(Bounded[] scores)
    {
        Bounded max = scores.MaxBy(score => score.Value);
        double maxError = scores.Max(score => score.Error);
        double[] exp = [.. scores.Select(score => Math.Exp(score.Value - max.Value))];
        double sum = exp.Sum();
        // the exponent's error, and 4 u of exp itself, as parts of the result
        double[] part = [.. scores.Select(score => Math.Exp(score.Error + maxError
            + 3 * U * (Math.Abs(score.Value - max.Value) + score.Error + maxError)) * (1 + 4 * U) - 1)];
        double sumPart = exp.Select((e, t) => e / sum * part[t]).Sum() + 1.01 * (scores.Length + 2) * U;
        return [.. exp.Select((e, t) =>
        {
            double p = e / sum, error = sumPart < 0.9 ? p * ((1 + part[t]) * (1 + 2 * U) / (1 - sumPart) - 1) : 1;
            return new Bounded(p, Math.Min(error, 1 + U) + Vanishing); // a probability is never off by more than 1
        })];
    }

    /// <summary>x / (1 + exp(-x)) is nowhere steeper than 1.1.</summary>
    private static Bounded Silu(Bounded x) => Bounded.Rounded(x.Value / (1 + Math.Exp(-x.Value)), 1.1 * x.Error, 8);
}
