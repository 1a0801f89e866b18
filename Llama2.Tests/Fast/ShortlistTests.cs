using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Tests.Properties;
using Config = Llama2.Simple.Config;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>The token of the greatest logit is found without most of the classifier, and is always the one that all logits give.</summary>
public sealed class ShortlistTests
{
    /// <summary>A classifier and states, by their kinds of numbers.</summary>
    /// <param name="Vocab">Rows.</param>
    /// <param name="SixteenthOfDim">Columns / 16.</param>
    /// <param name="Weights">Of the rows.</param>
    /// <param name="State">Of the state.</param>
    /// <param name="Copies">How many rows are near copies of others, in tenths.</param>
    /// <param name="Seed">Of the numbers.</param>
    private sealed record Classifier(int Vocab, int SixteenthOfDim, Palette Weights, Palette State, int Copies, int Seed)
    {
        public static Gen<Classifier> Any =>
            from vocab in Gen.Frequency((1, Gen.Choose(3, 70)), (3, Gen.Choose(200, 2000)))
            from dim in Gen.Choose(1, 12)
            from weights in Gen.Frequency((3, Gen.Constant(Palette.Normal)), (1, Gen.Elements(Palettes.All)))
            from state in Gen.Frequency((3, Gen.Constant(Palette.Normal)), (1, Gen.Elements(Palettes.All)))
            from copies in Gen.Choose(0, 9)
            from seed in Gen.Choose(1, 1_000_000)
            select new Classifier(vocab, dim, weights, state, copies, seed);

        public int Dim => 16 * SixteenthOfDim;

        public IEnumerable<Classifier> Shrink() =>
        [
            .. Shrinking.Towards(3, Vocab).Select(x => this with { Vocab = x }),
            .. Shrinking.Towards(1, SixteenthOfDim).Select(x => this with { SixteenthOfDim = x }),
            .. Shrinking.Towards(0, Copies).Select(x => this with { Copies = x }),
        ];

        public float[] Rows()
        {
            Random random = new(Seed);
            float[] rows = Weights.Numbers(random, Vocab * Dim);
            for (int i = 1; i < Vocab; i++)
            {
                if (random.Next(10) >= Copies)
                    continue;
                Span<float> row = rows.AsSpan(i * Dim, Dim);
                rows.AsSpan(random.Next(i) * Dim, Dim).CopyTo(row);
                float noise = random.Next(3) switch { 0 => 0, 1 => 1e-6f, _ => 1e-3f };
                for (int j = 0; j < Dim; j++)
                    row[j] *= 1 + (noise * ((2 * random.NextSingle()) - 1));
            }
            return rows;
        }
    }

    private static FastTransformer Transformer(int vocab, int dim, float[] classifier, int threads = 1, string? kernel = null)
    {
        FloatTensor wide = new(vocab, dim, classifier), square = new(dim, dim, new float[dim * dim]), row = new(1, dim, new float[dim]), column = new(dim, 1, new float[dim]);
        float[] norm = new float[dim];
        LayerWeights layer = new() { RmsAtt = norm, Wq = square, Wk = square, Wv = square, Wo = square, RmsFfn = norm, W1 = row, W2 = column, W3 = row };
        Weights weights = new() { TokenEmbedding = wide, Layers = [layer], RmsFinal = norm, Classifier = wide };
        return new FastTransformer(new Config(dim, 1, 1, 1, 1, vocab, 4), weights, threads, kernel, leastShortlist: 0);
    }

    private static int ArgMaxOfAll(FastTransformer transformer, float[] state)
    {
        float[] logits = new float[transformer.Config.VocabSize];
        transformer.Classify(state, logits);
        return Sampler.ArgMax(logits);
    }

    [Fact]
    public void The_token_is_that_of_all_logits() => Property.Holds(Classifier.Any, x => x.Shrink(), x =>
    {
        float[] rows = x.Rows();
        foreach (string kernel in FastTransformer.KernelNames)
        {
            Random random = new(x.Seed);
            using FastTransformer transformer = Transformer(x.Vocab, x.Dim, rows, 1 + (x.Seed % 3), kernel);
            for (int i = 0; i < 5; i++)
            {
                float[] state = x.State.Numbers(random, x.Dim);
                Assert.Equal(ArgMaxOfAll(transformer, state), transformer.ArgMax(state));
            }
        }
    }, tests: 150);

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Of_many_rows_few_are_listed(string kernel)
    {
        const int Vocab = 5000, Dim = 288;
        Random random = new(1);
        using FastTransformer transformer = Transformer(Vocab, Dim, Palette.Normal.Numbers(random, Vocab * Dim), 2, kernel);
        float[] state = Palette.Normal.Numbers(random, Dim);
        int expected = ArgMaxOfAll(transformer, state);
        Assert.Equal(expected, transformer.ArgMax(state));
        Assert.Equal(Vocab, transformer.Listed); // the first one is not worth a copy
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(expected, transformer.ArgMax(state));
            Assert.InRange(transformer.Listed, 1, 100);
        }
    }

    public static TheoryData<string> Kernels => [.. FastTransformer.KernelNames];

    /// <summary>Row 1's int8 falls short in every element and row 2's exceeds in every element, as far as half a step allows: row 2 seems the greater, by nine tenths of the bound.</summary>
    [Fact]
    public void Rows_as_far_from_their_int8_as_can_be_do_not_mislead()
    {
        const int Vocab = 400, Dim = 128;
        float[] rows = new float[Vocab * Dim], state = new float[Dim];
        for (int j = 0; j < Dim; j++)
        {
            state[j] = j % 2 == 0 ? 1 : -1;
            bool sets = j % 64 < 2; // an element that sets the scale of its group; two, which cancel out
            rows[Dim + j] = sets ? 127 : 0.49f * state[j];
            rows[(2 * Dim) + j] = sets ? 127 : ((j % 20 < 18 ? 1 : 0) - 0.49f) * state[j];
        }
        using FastTransformer transformer = Transformer(Vocab, Dim, rows);
        AssertFindsRow1(transformer, state);
    }

    /// <summary>The same with a state that is far from its int8, and rows that are not.</summary>
    [Fact]
    public void A_state_as_far_from_its_int8_as_can_be_does_not_mislead()
    {
        const int Vocab = 400, Dim = 128;
        float[] rows = new float[Vocab * Dim], state = new float[Dim];
        for (int j = 0; j < Dim; j++)
        {
            int sign = j % 2 == 0 ? 1 : -1;
            bool sets = j % 64 < 2; // here both get something, so that they are beyond the other rows
            rows[Dim + j] = sets ? 1 : sign;
            rows[(2 * Dim) + j] = sets ? 1 : -sign;
            state[j] = sets ? 127 : sign * (0.49f - (j % 20 < 9 ? 1 : 0));
        }
        using FastTransformer transformer = Transformer(Vocab, Dim, rows);
        AssertFindsRow1(transformer, state);
    }

    private static void AssertFindsRow1(FastTransformer transformer, float[] state)
    {
        Assert.Equal(1, ArgMaxOfAll(transformer, state));
        for (int i = 0; i < 3; i++)
            Assert.Equal(1, transformer.ArgMax(state));
        Assert.InRange(transformer.Listed, 2, 10);
    }

    [Fact]
    public void Where_all_rows_may_be_the_greatest_all_are_multiplied()
    {
        const int Vocab = 300, Dim = 64;
        float[] rows = Enumerable.Repeat(Palette.Normal.Numbers(new Random(2), Dim), Vocab).SelectMany(row => row).ToArray();
        using FastTransformer transformer = Transformer(Vocab, Dim, rows, 2);
        float[] state = Palette.Normal.Numbers(new Random(3), Dim);
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(0, transformer.ArgMax(state)); // the first of equals
            Assert.Equal(Vocab, transformer.Listed);
        }
    }

    [Fact]
    public void It_is_for_great_float32_classifiers_of_whole_registers()
    {
        Assert.Equal(0, Bytes(32000, 16));
        Assert.Equal(0, Bytes(65536, 68)); // no multiple of sixteen divides a row
        Assert.NotEqual(0, Bytes(65536, 64));

        static long Bytes(int vocab, int dim)
        {
            ModelShape shape = new(0, dim / 2, 1, 1, 1, 1, vocab, 4, Shared: true, 0, Palette.Zeros, 1);
            using FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 1), int8 = new(shape.Config, (shape with { Version = 2 }).CreateWeights(), 1);
            Assert.Equal(0, int8.ShortlistBytes);
            return transformer.ShortlistBytes;
        }
    }

    [Fact]
    public void States_and_logits_of_another_length_are_refused()
    {
        using FastTransformer transformer = Transformer(5, 16, new float[5 * 16]);
        Assert.Throws<ArgumentOutOfRangeException>("embedding", () => transformer.ArgMax(new float[15]));
        Assert.Throws<ArgumentOutOfRangeException>("embedding", () => transformer.Classify(new float[17], new float[5]));
        Assert.Throws<ArgumentOutOfRangeException>("logits", () => transformer.Classify(new float[16], new float[4]));
    }

    [Fact]
    public void Greedy_decoding_allocates_nothing()
    {
        const int Vocab = 3000, Dim = 64;
        using FastTransformer transformer = Transformer(Vocab, Dim, Palette.Normal.Numbers(new Random(4), Vocab * Dim), 2);
        Session session = new(transformer, new Sampler(Vocab, 0, 0, 1));
        for (int i = 0; i < 4; i++)
            Step();
        long least = long.MaxValue; // see Decoding_allocates_nothing
        for (int attempt = 0; attempt < 5; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 40; i++)
                Step();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);

        void Step()
        {
            session.Truncate(0);
            session.Feed([7], CancellationToken.None);
            session.Sample();
        }
    }
}
