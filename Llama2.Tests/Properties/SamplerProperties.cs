using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Llama2.Tests.Properties;

/// <summary>What holds for all logits and settings of the sampler.</summary>
public sealed class SamplerProperties
{
    private sealed record Draw(float[] Logits, float Temperature, float TopP, int Seed)
    {
        // few distinct values, so that ties are common
        private static readonly Gen<float> Logit = Gen.Frequency(
            (3, Gen.Choose(-8, 8).Select(x => (float)x)),
            (3, Gen.Choose(-4000, 4000).Select(x => x / 300f)),
            (1, Gen.Elements(-100f, 100f, 1e-30f, -0f)));

        public static readonly Gen<Draw> Any =
            from logits in Logit.NonEmptyListOf()
            from temperature in Gen.Elements(0f, 0.1f, 0.8f, 1f, 2f, 100f)
            from topp in Gen.Elements(0f, 0.01f, 0.5f, 0.9f, 0.99f, 1f)
            from seed in Gen.Choose(1, int.MaxValue)
            select new Draw([.. logits], temperature, topp, seed);

        public IEnumerable<Draw> Shrink() => Shrinking.Shorter(Logits).Where(logits => logits.Length > 0)
            .Select(logits => this with { Logits = logits });

        public Sampler CreateSampler() => new(Logits.Length, Temperature, TopP, (ulong)Seed);

        public int Sample(Sampler sampler) => sampler.Sample([.. Logits]);
    }

    [Property(MaxTest = 500)]
    public FsCheck.Property Temperature_0_is_the_first_of_the_greatest() => Property.ForAll(Draw.Any, x => x.Shrink(), x =>
    {
        int greedy = (x with { Temperature = 0 }).Sample((x with { Temperature = 0 }).CreateSampler());
        Assert.Equal(Array.IndexOf(x.Logits, x.Logits.Max()), greedy);
    });

    [Property(MaxTest = 500)]
    public FsCheck.Property Top_p_never_leaves_the_nucleus() =>
        Property.ForAll(Draw.Any.Where(x => x.Temperature > 0), x => x.Shrink(), x =>
    {
        double[] probabilities = Probabilities(x);
        Sampler sampler = x.CreateSampler();
        for (int i = 0; i < 20; i++)
        {
            int token = x.Sample(sampler);
            double before = probabilities.Where((p, j) => p > probabilities[token] * (1 + 1e-5)
                || (x.Logits[j] == x.Logits[token] && j < token)).Sum();
            if (x.TopP is > 0 and < 1)
                Assert.True(before <= x.TopP + 1e-4, $"token {token} comes after {before:F5} of the probability");
            Assert.True(probabilities[token] > 1e-30, $"token {token} has no probability");
        }
    });

    [Property(MaxTest = 300)]
    public FsCheck.Property The_same_seed_gives_the_same_tokens_and_its_state_goes_on() => Property.ForAll(Draw.Any, x => x.Shrink(), x =>
    {
        Sampler one = x.CreateSampler(), two = x.CreateSampler();
        int[] tokens = [.. Enumerable.Range(0, 12).Select(_ => x.Sample(one))];
        Assert.Equal(tokens[..5], Enumerable.Range(0, 5).Select(_ => x.Sample(two)));
        Sampler resumed = new(x.Logits.Length, x.Temperature, x.TopP, 1) { RandomState = two.RandomState };
        Assert.Equal(tokens[5..], Enumerable.Range(5, 7).Select(_ => x.Sample(resumed)));
    });

    [Theory]
    [InlineData(1, 0)]
    [InlineData(1, 0.9)]
    [InlineData(0.5, 0.6)]
    [InlineData(2, 0.95)]
    public void Frequencies_pass_a_chi_square_test(float temperature, float topp)
    {
        const int Draws = 100_000;
        Draw x = new([.. Enumerable.Range(0, 50).Select(i => MathF.Sin(i) * 2)], temperature, topp, 20240);
        double[] expected = Nucleus(Probabilities(x), topp);
        int[] counts = new int[expected.Length];
        Sampler sampler = x.CreateSampler();
        for (int i = 0; i < Draws; i++)
            counts[x.Sample(sampler)]++;

        Assert.All(counts.Zip(expected), pair => Assert.True(pair.First == 0 || pair.Second > 0));
        double chiSquare = counts.Zip(expected).Where(pair => pair.Second > 0)
            .Sum(pair => Math.Pow(pair.First - (Draws * pair.Second), 2) / (Draws * pair.Second));
        int freedom = expected.Count(p => p > 0) - 1;
        // mean +- 4 deviations
        Assert.InRange(chiSquare, freedom - (4 * Math.Sqrt(2.0 * freedom)), freedom + (4 * Math.Sqrt(2.0 * freedom)));
    }

    private static double[] Probabilities(Draw x)
    {
        double max = x.Logits.Max();
        double[] exp = [.. x.Logits.Select(logit => Math.Exp((logit - max) / x.Temperature))];
        return [.. exp.Select(e => e / exp.Sum())];
    }

    /// <summary>The probabilities within the nucleus, zero outside; all of them where top-p is off.</summary>
    private static double[] Nucleus(double[] probabilities, double topp)
    {
        if (topp is <= 0 or >= 1)
            return probabilities;
        double sum = 0;
        double[] nucleus = new double[probabilities.Length];
        foreach (int token in Enumerable.Range(0, probabilities.Length).OrderByDescending(token => probabilities[token]))
        {
            sum += nucleus[token] = probabilities[token];
            if (sum > topp)
                break;
        }
        return [.. nucleus.Select(p => p / sum)];
    }
}
