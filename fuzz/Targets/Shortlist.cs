using Llama2.Fast;
using Llama2.Simple;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A classifier of any numbers, most of its rows near copies of others, and a state: every kernel finds the token that all
/// logits give, with a shortlist and without. The classifier lies between guard pages.
/// </summary>
internal static class Shortlist
{
    private const int Fresh = 4; // rows that are no copies

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        int vocab = input.Between(Fresh, 300), dim = 16 * input.Between(1, 9), threads = input.Byte() is var b && b < 200 ? 1 : 1 + (b % 3);
        using GuardedMemory<float> classifier = new(vocab * dim, beforeEnd: 4 * input.Between(-1, 15));
        Span<float> rows = classifier.GetSpan();
        input.Fill(rows[..(Fresh * dim)]);
        float[] state = new float[dim];
        input.Fill(state);
        for (int i = Fresh; i < vocab; i++)
        {
            int how = input.Byte();
            Span<float> row = rows.Slice(i * dim, dim);
            rows.Slice((i - 1 - (how % Fresh)) * dim, dim).CopyTo(row);
            ref float element = ref row[(i + how) % dim];
            element = (how / Fresh % 4) switch { 0 => element, 1 => MathF.BitIncrement(element), 2 => element * 0.99f, _ => -element };
        }

        foreach (string kernel in FastTransformer.KernelNames)
        {
            using FastTransformer transformer = Transformer(vocab, dim, classifier.Memory, threads, kernel);
            float[] logits = new float[vocab];
            transformer.Classify(state, logits);
            int expected = Simple.Sampler.ArgMax(logits);
            for (int i = 0; i < 3; i++)
            {
                if (transformer.ArgMax(state) is var token && token != expected)
                    throw new BrokenPromiseException($"{kernel}: token {token} of {logits[token]:R}, not {expected} of {logits[expected]:R}");
            }
        }
    }

    private static FastTransformer Transformer(int vocab, int dim, ReadOnlyMemory<float> classifier, int threads, string kernel)
    {
        float[] norm = new float[dim];
        FloatTensor table = new(vocab, dim, classifier), square = new(dim, dim, new float[dim * dim]), row = new(1, dim, norm), column = new(dim, 1, norm);
        LayerWeights layer = new() { RmsAtt = norm, Wq = square, Wk = square, Wv = square, Wo = square, RmsFfn = norm, W1 = row, W2 = column, W3 = row };
        Weights weights = new() { TokenEmbedding = table, Layers = [layer], RmsFinal = norm, Classifier = table };
        return new FastTransformer(new Config(dim, 1, 1, 1, 1, vocab, 1), weights, threads, kernel, leastShortlist: 0);
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-few-rows", [20, 0, 1, 0, 3, 1, 20, 3, 9, 27, 81, 243, 3, 7, 5, 3, 2, 1]),
        new("seed-many-rows", [200, 0, 4, 0, 0, 3, 200, 100, 50, 25, 12, 6, 3, 255, 1, 128, 64, 4, 8, 15, 16, 23, 42]),
        new("seed-threads", [44, 1, 8, 202, 5, 3, 31, 41, 59, 26, 53, 58, 97, 93, 3, 2, 7, 1, 8, 2, 8, 4, 6, 12, 9, 13]),
    ];
}
