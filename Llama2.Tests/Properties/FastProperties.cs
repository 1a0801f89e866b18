using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;
using Llama2.Tests.Golden;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Properties;

/// <summary>All that the seam promises holds for Fast, whose kernel and threads are other ones each time.</summary>
public sealed class FastTransformerProperties : TransformerProperties
{
    protected override ITransformer Create(Config config, Weights weights, int seed) =>
        new FastTransformer(config, weights, threads: 1 + (seed % 4),
            kernel: FastTransformer.KernelNames[seed / 4 % FastTransformer.KernelNames.Count]);
}

/// <summary>What Fast promises besides: the same bits in all circumstances, and Simple's answer within a proven bound.</summary>
public sealed class FastProperties(ITestOutputHelper output)
{
    private sealed record Run(ModelShape Model, int[] Sequence)
    {
        public static Gen<Run> Any(int longest, params Palette[] palettes) =>
            from model in ModelShape.Generator(palettes)
            from sequence in Gen.Choose(0, 1_000_000).NonEmptyListOf().Resize(longest)
            select new Run(model, [.. sequence.Take(model.SeqLen)]);

        public int[] Tokens => [.. Sequence.Select(token => token % Model.Vocab)];

        public IEnumerable<Run> Shrink() =>
        [
            .. Shrinking.Shorter(Sequence).Where(x => x.Length > 0).Select(x => this with { Sequence = x }),
            .. Model.Shrink().Where(x => x.SeqLen >= Sequence.Length).Select(x => this with { Model = x }),
        ];
    }

    [Property(MaxTest = 40)]
    public FsCheck.Property Every_kernel_and_number_of_threads_gives_the_bits_of_the_scalar_one() =>
        Property.ForAll(Run.Any(20, Palettes.All), x => x.Shrink(), x =>
    {
        Weights weights = x.Model.CreateWeights(least: x.Model.Seed % 2 == 0);
        float[] expected = Logits("scalar", 1);
        foreach (string kernel in FastTransformer.KernelNames)
        {
            for (int threads = 1; threads <= 4; threads++)
                Bits.AssertEqual(expected, Logits(kernel, threads), $"{kernel}, {threads} threads");
        }

        float[] Logits(string kernel, int threads)
        {
            using FastTransformer transformer = new(x.Model.Config, weights, threads, kernel);
            KvCache cache = new(x.Model.Config);
            float[] logits = new float[x.Tokens.Length * x.Model.Vocab];
            transformer.Forward([.. x.Tokens.Select(token => new Row(token, cache, Want.Logits))], logits);
            return logits;
        }
    });

    [Property]
    public FsCheck.Property Fast_and_Simple_are_within_the_bound_and_choose_the_same_token_where_it_allows_no_other()
    {
        // a bound grows with each layer and would soon allow anything; int8 needs none
        Gen<Run> shallow = Run.Any(6, [Palette.Normal, Palette.Normal, Palette.Normal, .. Palettes.Tame])
            .Select(x => x with { Model = x.Model with { Version = x.Model.Version % 2, Layers = 1 + (x.Model.Layers / 4) } });
        return Property.ForAll(shallow, x => x.Shrink(), x => AssertWithinBound(x));
    }

    [Fact]
    public void The_bound_is_narrow_enough_to_decide_tokens()
    {
        ModelShape model = ModelShape.Tiny with { HalfHead = 4, Hidden = 24, Layers = 1, Vocab = 40, SeqLen = 10, Seed = 7 };
        int decided = AssertWithinBound(new Run(model, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        output.WriteLine($"of 10 greedy tokens the bound decides {decided}");
        Assert.InRange(decided, 8, 10);
    }

    [Fact]
    public void In_int8_Fast_has_the_bits_of_Simple()
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        Gen<Run> int8 = Run.Any(20, Palettes.All).Select(x => x with { Model = x.Model with { Version = 2 } });
        Property.Holds(int8, x => x.Shrink(), x =>
        {
            Weights weights = x.Model.CreateWeights(least: x.Model.Seed % 2 == 0);
            using Transformer simple = new(x.Model.Config, weights);
            using FastTransformer fast = new(x.Model.Config, weights);
            foreach ((float[] expected, float[] actual) in Logits.OneByOne(simple, x.Tokens).Zip(Logits.OneByOne(fast, x.Tokens)))
                Bits.AssertEqual(expected, actual);
        });
    }

    /// <summary>
    /// Compares all logits with those in double precision; returns at how many positions the bound allows but one greedy token.
    /// </summary>
    private static int AssertWithinBound(Run x)
    {
        Weights weights = x.Model.CreateWeights(least: x.Model.Seed % 2 == 0);
        using Transformer simple = new(x.Model.Config, weights);
        using FastTransformer fast = new(x.Model.Config, weights);
        BoundedForward bounded = new(x.Model.Config, weights);
        int decided = 0;
        foreach (((int token, float[] expected), float[] actual) in x.Tokens.Zip(Logits.OneByOne(simple, x.Tokens))
            .Zip(Logits.OneByOne(fast, x.Tokens)))
        {
            BoundedForward.Bounded[] exact = bounded.Next(token);
            for (int i = 0; i < exact.Length; i++)
            {
                Assert.True(Math.Abs(expected[i] - exact[i].Value) <= exact[i].Error,
                    $"Simple: logit {i} is {expected[i]:R}, not {exact[i]}");
                Assert.True(Math.Abs(actual[i] - exact[i].Value) <= exact[i].Error, $"Fast: logit {i} is {actual[i]:R}, not {exact[i]}");
            }
            int best = Sampler.ArgMax(expected);
            if (!exact.Index().All(other => other.Index == best || exact[best].Value - exact[best].Error > other.Item.Value
                + other.Item.Error))
                continue;
            Assert.Equal(best, Sampler.ArgMax(actual));
            decided++;
        }
        return decided;
    }

    [Fact]
    public void On_the_default_model_Fast_is_as_near_as_another_C_library_would_be()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Assert.InRange(Distance(checkpoint), 0, 1e-4f);
    }

    /// <summary>The greatest |fast - simple| / (1 + |simple|) of all logits after random tokens.</summary>
    private float Distance(Checkpoint checkpoint)
    {
        using Transformer simple = new(checkpoint.Config, checkpoint.Weights);
        using FastTransformer fast = new(checkpoint.Config, checkpoint.Weights);
        Random random = new(20240);
        float worst = 0;
        for (int i = 0; i < 10; i++)
        {
            int[] tokens = [.. Enumerable.Range(0, 60).Select(_ => random.Next(3, checkpoint.Config.VocabSize))];
            foreach ((float[] expected, float[] actual) in Logits.OneByOne(simple, tokens).Zip(Logits.OneByOne(fast, tokens)))
                worst = expected.Zip(actual, RelativeDistance).Aggregate(worst, MathF.Max); // a NaN stays, where Enumerable.Max drops it
        }
        output.WriteLine($"greatest distance: {worst:G2}");
        return worst;
    }

    private static float RelativeDistance(float expected, float actual) => MathF.Abs(expected - actual) / (1 + MathF.Abs(expected));
}
