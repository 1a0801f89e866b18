using FsCheck.Xunit;
using Llama2.Fast;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Fast;

/// <summary>Whole models: Fast's bits do not depend on kernel, threads and batches, and its text is Simple's.</summary>
public sealed class FastTransformerTests
{
    // a reshuffled walk over the vocabulary
    private static int[] Tokens(ModelShape shape, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (int)((i * 7919L + shape.Seed) % shape.Vocab))];

    /// <summary>The logits of all tokens, fed in calls of at most so many.</summary>
    private static float[] Logits(FastTransformer transformer, int[] tokens, int perCall, Want others = Want.Logits)
    {
        Config config = transformer.Config;
        KvCache cache = new(config);
        List<float> all = [];
        foreach (int[] call in tokens.Chunk(perCall))
        {
            Row[] rows = [.. call.Select((token, i) => new Row(token, cache, i == call.Length - 1 ? Want.Logits : others))];
            float[] output = new float[RowChecks.OutputLength(config, rows)];
            transformer.Forward(rows, output);
            all.AddRange(output);
        }
        return [.. all];
    }

    [Property(MaxTest = 60)]
    public FsCheck.Property Any_kernel_threads_and_batches_give_the_same_bits()
    {
        return Property.ForAll(ModelShape.Generator(Palettes.All), shape => shape.Shrink(), shape =>
        {
            Weights weights = shape.CreateWeights();
            int[] tokens = Tokens(shape, Math.Min(shape.SeqLen, 40)); // often the whole context
            using FastTransformer scalar = new(shape.Config, weights, threads: 1, "scalar");
            float[] expected = Logits(scalar, tokens, 1);
            foreach (string kernel in FastTransformer.KernelNames)
            {
                using FastTransformer one = new(shape.Config, weights, 1, kernel), some =
                    new(shape.Config, weights, 2 + shape.Seed % 3, kernel);
                Bits.AssertEqual(expected, Logits(one, tokens, tokens.Length), kernel + ", all at once");
                Bits.AssertEqual(expected, Logits(some, tokens, 1 + shape.Seed % 9),
                    $"{kernel}, {some.Threads} threads, calls of {1 + shape.Seed % 9}");
                Bits.AssertEqual(expected.AsSpan(expected.Length - shape.Vocab), Logits(some, tokens, tokens.Length, Want.Nothing), kernel
                    + ", only the last wanted");
            }
        });
    }

    public static TheoryData<string> Models =>
    [
        "tales659K.bin", "tales659K_v1.bin", "tales659K_q80.bin", "stories260K.bin", "stories260K_q80.bin", "stories260K_q80_gs32.bin",
        "llama2xs.bin", "llama2xs_q80.bin", "babyllama.bin", "aidreams260K.bin",
    ];

    /// <summary>
    /// Along Simple's greedy text: in float32 every choice is Simple's, and the logits differ by what the order of the matrices'
    /// sums makes; in int8, whose sums are whole numbers, every bit of all logits is Simple's.
    /// </summary>
    [Theory]
    [MemberData(nameof(Models))]
    public void Greedy_text_is_Simple_s_and_in_int8_every_bit(string model)
    {
        Assert.SkipWhen(Repository.FindModel(model) is null, Repository.NoShared);
        using Checkpoint checkpoint = Checkpoint.Open(Repository.FindModel(model)!);
        Config config = checkpoint.Config;
        using FastTransformer fast = new(config, checkpoint.Weights);
        using Transformer simple = new(config, checkpoint.Weights);
        KvCache fastCache = new(config), simpleCache = new(config);
        float[] actual = new float[config.VocabSize], expected = new float[config.VocabSize];
        int token = 1;
        for (int position = 0; position < config.SeqLen; position++)
        {
            fast.Forward([new Row(token, fastCache, Want.Logits)], actual);
            simple.Forward([new Row(token, simpleCache, Want.Logits)], expected);
            if (checkpoint.Weights.Classifier is Q8GroupsTensor && Glibc.IsMathF)
                Bits.AssertEqual(expected, actual, $"position {position}");
            else
                Assert.InRange(expected.Zip(actual, (a, b) => MathF.Abs(a - b) / (1 + MathF.Abs(a))).Aggregate(MathF.Max), 0, 1e-4f);
            token = Sampler.ArgMax(expected);
            Assert.Equal(token, Sampler.ArgMax(actual));
        }
    }

    [Fact]
    public void Rows_of_several_caches_in_one_call_are_as_if_each_were_alone()
    {
        ModelShape shape = new(0, 8, 2, 3, 50, 3, 30, 64, Shared: true, 0, Palette.Normal, 5);
        Weights weights = shape.CreateWeights();
        using FastTransformer fast = new(shape.Config, weights, threads: 2);
        int[][] sequences = [Tokens(shape, 40), [.. Tokens(shape, 29).Reverse()], Tokens(shape, 3)];
        float[][] alone = [.. sequences.Select(sequence => Logits(fast, sequence, 1))];

        KvCache[] caches = [.. sequences.Select(_ => new KvCache(shape.Config))];
        int[] fed = new int[sequences.Length];
        Random random = new(6);
        while (sequences.Index().Any(s => fed[s.Index] < s.Item.Length))
        {
            List<Row> rows = [];
            List<(int Sequence, int Position)> wanted = [];
            foreach (int s in Enumerable.Range(0, 20).Select(_ => random.Next(sequences.Length)).Where(s => fed[s] < sequences[s].Length))
            {
                if (fed[s] >= sequences[s].Length)
                    continue;
                bool wants = random.Next(3) == 0;
                rows.Add(new Row(sequences[s][fed[s]], caches[s], wants ? Want.Logits : Want.Nothing));
                if (wants)
                    wanted.Add((s, fed[s]));
                fed[s]++;
            }
            float[] output = new float[wanted.Count * shape.Vocab];
            fast.Forward([.. rows], output);
            foreach ((int i, (int s, int position)) in wanted.Index())
                Bits.AssertEqual(alone[s].AsSpan(position * shape.Vocab, shape.Vocab), output.AsSpan(i * shape.Vocab, shape.Vocab),
                    $"sequence {s} at {position}");
        }
    }

    [Fact]
    public void Embeddings_are_the_state_that_the_classifier_sees()
    {
        ModelShape shape = new(1, 4, 2, 2, 24, 2, 20, 16, Shared: false, 0, Palette.Normal, 8);
        Weights weights = shape.CreateWeights();
        using FastTransformer fast = new(shape.Config, weights, threads: 2);
        using Transformer simple = new(shape.Config, weights);
        float[] actual = Outputs(fast), expected = Outputs(simple);
        for (int i = 0; i < expected.Length; i++)
            Assert.InRange(Math.Abs(actual[i] - expected[i]), 0, 1e-5f * (1 + Math.Abs(expected[i])));

        float[] Outputs(ITransformer transformer)
        {
            KvCache cache = new(shape.Config);
            Row[] rows = [new(1, cache, Want.Embedding), new(2, cache), new(3, cache, Want.Logits), new(4, cache, Want.Embedding),
                new(5, cache)];
            float[] output = new float[RowChecks.OutputLength(shape.Config, rows) + 1];
            output[^1] = 42;
            transformer.Forward(rows, output);
            Assert.Equal(42, output[^1]);
            Assert.Equal(5, cache.Length);
            return output;
        }
    }

    [Fact]
    public void The_smallest_model_fills_its_context_and_then_says_so()
    {
        // head size 2, one kv head, more rows than a batch
        ModelShape shape = new(0, 1, 1, 1, 1, 1, 3, 300, Shared: true, 0, Palette.Normal, 9);
        using FastTransformer fast = new(shape.Config, shape.CreateWeights(), threads: 2);
        KvCache cache = new(shape.Config);
        fast.Forward([.. Tokens(shape, 300).Select(token => new Row(token, cache))], []);
        Assert.Equal(300, cache.Length);
        Assert.Throws<ContextFullException>(() => fast.Forward([new Row(0, cache)], []));
        cache.Truncate(299);
        Assert.Throws<ArgumentOutOfRangeException>(() => fast.Forward([new Row(3, cache)], []));
        Assert.Throws<ArgumentException>(() => fast.Forward([new Row(0, cache, Want.Logits)], new float[2]));
        Assert.Equal(299, cache.Length);
    }

    [Theory]
    [InlineData(0, 1, Want.Logits)]
    [InlineData(0, 2, Want.Logits)]
    [InlineData(2, 2, Want.Logits)]
    [InlineData(0, 1, Want.Token)]
    [InlineData(0, 2, Want.Token)]
    [InlineData(2, 1, Want.Token)]
    public void Decoding_allocates_nothing(int version, int threads, Want want)
    {
        ModelShape shape = new(version, 16, 2, 2, 256, 2, 1000, 64, Shared: true, 0, Palette.Normal, 10);
        using FastTransformer fast = new(shape.Config, shape.CreateWeights(), threads, null, minShortlist: 0);
        KvCache cache = new(shape.Config, 64);
        float[] output = new float[shape.Vocab];
        Row[] row = [new Row(1, cache, want)];
        Assert.Equal(0, Allocations.Of(Decode));
        bool same = false; // of the other threads, which another test may use meanwhile
        for (int attempt = 0; attempt < 20 && !same; attempt++)
        {
            long[] before = Allocations.OfTeam(threads);
            Decode();
            same = before.AsSpan(1).SequenceEqual(Allocations.OfTeam(threads).AsSpan(1));
        }
        Assert.True(same);

        void Decode()
        {
            cache.Truncate(0);
            for (int i = 0; i < 40; i++)
                fast.Forward(row, output);
        }
    }

    [Fact]
    public void Int8_of_two_group_sizes_and_unknown_kernels_are_refused()
    {
        ModelShape model = new(2, 2, 1, 2, 8, 1, 5, 4, Shared: true, GroupChoice: 0, Palette.Normal, 11);
        Weights groups = model.CreateWeights(), smaller = (model with { GroupChoice = 1 }).CreateWeights();
        Weights mixed = new()
        {
            TokenEmbedding = groups.TokenEmbedding,
            Layers = smaller.Layers,
            RmsFinal = groups.RmsFinal,
            Classifier = groups.Classifier,
        };
        Assert.Throws<ArgumentException>("weights", () => new FastTransformer(model.Config, mixed));
        Assert.Throws<KernelException>(() => new FastTransformer(model.Config, groups, 1, "fastest"));
    }
}
