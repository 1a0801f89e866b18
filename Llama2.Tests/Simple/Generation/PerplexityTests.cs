using Llama2.Fast;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Generation;

/// <summary>What a text costs a model, by hand, by the definition, and by llama.cpp's logits.</summary>
public sealed class PerplexityTests
{
    private static readonly ModelShape Shape = ModelShape.Tiny with { HalfHead = 2, Vocab = 11, SeqLen = 24, Palette = Palette.Normal };

    [Fact]
    public void A_model_that_always_thinks_the_same_costs_what_one_adds_up()
    {
        FakeModel model = FakeModel.Fixed(0, MathF.Log(3)); // a quarter and three quarters
        Perplexity found = Perplexity.Of(model, [1, 0, 1, 1], bos: 1, window: 64, stride: 32);
        Assert.Equal((4, 1), (found.Tokens, found.Windows));
        Assert.Equal(Math.Log(4) + 3 * Math.Log(4.0 / 3), found.Nats, 1e-7);
        Assert.Equal(found.Nats / 4, found.NatsPerToken);
        Assert.Equal(Math.Pow(256 / 27.0, 0.25), found.Value, 1e-7);
        Assert.Equal(3, Perplexity.Of(model, [1, 0, 1, 1], bos: null, window: 64, stride: 32).Tokens); // nothing comes before the first
        Assert.Equal((0, 0), (Perplexity.Of(model, [], 1, 8, 4).Tokens, Perplexity.Of(model, [1], null, 8, 4).Windows));
    }

    [Theory]
    [InlineData(24, 12)]
    [InlineData(24, 23)]
    [InlineData(24, 1)]
    [InlineData(7, 3)]
    [InlineData(2, 1)]
    public void A_token_counts_in_its_first_window_from_that_window_s_start(int window, int stride)
    {
        Random random = new(window * 100 + stride);
        Weights weights = Shape.CreateWeights();
        foreach (int length in (int[])[1, 2, window - 1, window, window + 1, 60])
        {
            int[] tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next(11))];
            foreach (int? bos in (int?[])[1, null])
            {
                (int count, double nats) = ByDefinition(weights, tokens, bos, window, stride);
                using Transformer simple = new(Shape.Config, weights);
                Perplexity found = Perplexity.Of(simple, tokens, bos, window, stride);
                Assert.Equal((count, nats), (found.Tokens, found.Nats)); // the same bits
            }
        }
    }

    // Each token is fed alone, and each window again from its start.
    private static (int Count, double Nats) ByDefinition(Weights weights, int[] tokens, int? bos, int window, int stride)
    {
        using Transformer model = new(Shape.Config, weights);
        HashSet<int> seen = bos is null ? [0] : [];
        double nats = 0;
        int count = 0;
        for (int start = 0; seen.Count < tokens.Length; start += stride)
        {
            int[] text = bos is { } first ? [first, .. tokens[start..]] : tokens[start..];
            KvCache cache = new(Shape.Config);
            float[] logits = new float[11];
            for (int i = 0; i + 1 < Math.Min(window, text.Length); i++)
            {
                model.Forward([new Row(text[i], cache, Want.Logits)], logits);
                if (!seen.Add(start + i + (bos is null ? 1 : 0)))
                    continue;
                nats -= LogProbabilities.Of(logits, text[i + 1]);
                count++;
            }
        }
        return (count, nats);
    }

    [Fact]
    public void It_is_the_same_bits_with_every_kernel_and_number_of_threads_and_near_Simple_s()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Random random = new(4);
        int[] tokens = [.. Enumerable.Range(0, 150).Select(_ => random.Next(3, 512))];
        using Transformer simple = new(checkpoint.Config, checkpoint.Weights);
        double expected = Perplexity.Of(simple, tokens, 1, 100, 50).Nats;
        HashSet<double> nats = [];
        foreach (string kernel in FastTransformer.KernelNames)
        {
            foreach (int threads in (int[])[1, 3])
            {
                using FastTransformer fast = new(checkpoint.Config, checkpoint.Weights, threads, kernel);
                nats.Add(Perplexity.Of(fast, tokens, 1, 100, 50).Nats);
            }
        }
        Assert.Equal(expected, Assert.Single(nats), expected * 1e-6);
    }

    [Theory]
    [MemberData(nameof(GgufGolden.All), MemberType = typeof(GgufGolden))]
    public void It_is_that_of_llama_cpp_s_logits(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        ModelFile file;
        try
        {
            file = ModelFile.Open(golden.Path);
        }
        catch (ModelFileException)
        {
            Assert.Skip("a file that is refused");
            return;
        }
        using ModelFile open = file;
        (int[] prompt, float[] logits) = golden.Logits();
        int vocab = file.Config.VocabSize;
        Assert.SkipWhen(logits.Length != prompt.Length * vocab, "has the logits of one position alone");
        double expected = Enumerable.Range(0, prompt.Length - 1)
            .Sum(i => -LogProbabilities.Of(logits.AsSpan(i * vocab, vocab), prompt[i + 1]));
        using Transformer model = new(file.Config, Dequantised.Of(file.Weights));
        Perplexity found = Perplexity.Of(model, prompt.AsSpan(1), prompt[0], prompt.Length, 1);
        Assert.Equal(prompt.Length - 1, found.Tokens);
        Assert.Equal(expected, found.Nats, 1e-3);
    }

    [Fact]
    public void It_is_told_how_far_it_is_and_ends_when_it_should()
    {
        FakeModel model = new(2, _ => [0, 0], preferredRows: 4);
        List<int> told = [];
        Perplexity.Of(model, new int[20], 1, 16, 8, sum => told.Add(sum.Tokens));
        Assert.Equal([4, 8, 12, 15, 15, 16, 20], told); // windows of 16 and of 13
        Assert.Equal([4, 4, 4, 3, 4, 4, 4], model.Calls);
        using CancellationTokenSource source = new();
        Assert.Throws<OperationCanceledException>(() =>
            Perplexity.Of(model, new int[20], 1, 16, 8, _ => source.Cancel(), source.Token));
        Assert.Equal(8, model.Calls.Count);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(65, 1)]
    [InlineData(8, 0)]
    [InlineData(8, 8)]
    public void Windows_and_strides_that_are_none_are_refused(int window, int stride) => Assert.Throws<ArgumentOutOfRangeException>(
        () => Perplexity.Of(FakeModel.Fixed(0, 0), [1, 0], 1, window, stride));

    [Fact]
    public void A_long_text_takes_the_memory_of_a_chunk_of_logits()
    {
        FakeModel model = new(1 << 20, _ => new float[1 << 20], seqLen: 64); // 4 MB a row, of which four may be in memory
        Assert.Equal(21, Perplexity.Of(model, new int[21], 1, 22, 11).Tokens);
        Assert.Equal([4, 4, 4, 4, 4, 1], model.Calls);
    }
}
