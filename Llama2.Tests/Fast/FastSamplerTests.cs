using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>Fast's sampler has the bits of Simple's.</summary>
public sealed class FastSamplerTests
{
    private sealed record Draw(int Vocab, Palette Palette, int Distinct, float Temperature, float TopP, int Seed)
    {
        public static readonly Gen<Draw> Any =
            from vocab in Gen.Frequency((1, Gen.Choose(1, 20)), (2, Gen.Choose(21, 700)))
            from palette in Gen.Elements(Palettes.All)
            from distinct in Gen.Choose(1, 50)
            from temperature in Gen.Elements(0f, 1e-38f, 1e-20f, 0.3f, 1f, 2f, 1000f, float.PositiveInfinity)
            from topp in Gen.Elements(0f, 1e-6f, 0.5f, 0.9f, 0.999f, 1f)
            from seed in Gen.Choose(1, 1_000_000)
            select new Draw(vocab, palette, distinct, temperature, topp, seed);

        public IEnumerable<Draw> Shrink() =>
        [
            .. Shrinking.Towards(1, Vocab).Select(vocab => this with { Vocab = vocab }),
            .. Shrinking.Towards(1, Distinct).Select(distinct => this with { Distinct = distinct }),
        ];

        /// <summary>Logits among which some are equal.</summary>
        public float[] Logits(Random random)
        {
            float[] values = Palette.Numbers(random, Distinct, 6);
            return [.. Enumerable.Range(0, Vocab).Select(_ => values[random.Next(Distinct)])];
        }
    }

    [Fact]
    public void Samplers_share_what_they_compute_in()
    {
        float[] logits = new float[32000];
        Assert.InRange(Allocations.Of(() => new FastSampler(logits.Length, 1, 0.9f, 1).Sample(logits)), 1, 1000);
    }

    [Fact]
    public void Tokens_probabilities_and_states_are_Simple_s()
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        Property.Holds(Draw.Any, x => x.Shrink(), x =>
        {
            Sampler simple = new(x.Vocab, x.Temperature, x.TopP, (ulong)x.Seed);
            FastSampler fast = new(x.Vocab, x.Temperature, x.TopP, (ulong)x.Seed);
            Random random = new(x.Seed);
            for (int i = 0; i < 5; i++)
            {
                float[] expected = x.Logits(random), actual = [.. expected];
                Assert.Equal(simple.Sample(expected), fast.Sample(actual));
                Bits.AssertEqual(expected, actual, "probabilities");
                Assert.Equal(simple.RandomState, fast.RandomState);
            }
        }, tests: 2000);
    }

    [Fact]
    public void Arguments_are_checked_as_Simple_checks_them()
    {
        foreach (Func<ISampler> create in (Func<ISampler>[])[
            () => new FastSampler(0, 1, 1, 1), () => new FastSampler(3, -1, 1, 1), () => new FastSampler(3, float.NaN, 1, 1),
            () => new FastSampler(3, 1, -0.1f, 1), () => new FastSampler(3, 1, 1.1f, 1), () => new FastSampler(3, 1, float.NaN, 1),
            () => new FastSampler(3, 1, 1, 0)])
        {
            Assert.Throws<ArgumentOutOfRangeException>(create);
        }
        FastSampler sampler = new(3, 1, 0.9f, 7);
        Assert.Throws<ArgumentOutOfRangeException>("logits", () => sampler.Sample(new float[4]));
        Assert.Equal((1, 0.9f, 7ul), (sampler.Temperature, sampler.TopP, sampler.RandomState));
    }

    [Fact]
    public void Sampling_allocates_nothing()
    {
        FastSampler sampler = new(1000, 1, 0.9f, 7);
        float[] logits = new float[1000];
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 40; i++)
                sampler.Sample(logits);
        }));
    }
}
