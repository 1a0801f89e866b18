using Llama2.Fast;

namespace Llama2.Tests.Simple;

public sealed class SamplerTests
{
    [Theory]
    [InlineData(1e-38f)]
    [InlineData(float.Epsilon)]
    [InlineData(1e-30f)]
    public void Small_temperatures_are_greedy_in_the_limit(float temperature)
    {
        float[] logits = [12, 37, -1e9f, 36.5f, float.NegativeInfinity];
        foreach (float topp in (float[])[0, 0.9f, 1])
        {
            Assert.Equal(1, new Sampler(5, temperature, topp, seed: 3).Sample([.. logits]));
            Assert.Equal(1, new FastSampler(5, temperature, topp, seed: 3).Sample([.. logits]));
            Assert.Equal(2, new Sampler(3, temperature, topp, seed: 3).Sample([-12, -37, -1]));
            Assert.Equal(2, new FastSampler(3, temperature, topp, seed: 3).Sample([-12, -37, -1]));
        }
    }

    [Fact]
    public void An_infinite_temperature_takes_all_tokens_alike_that_are_not_ruled_out()
    {
        const float Infinite = float.PositiveInfinity;
        foreach (ISampler sampler in (ISampler[])[new Sampler(3, Infinite, 1, 3), new FastSampler(3, Infinite, 1, 3)])
        {
            int[] counts = new int[3];
            for (int i = 0; i < 3000; i++)
                counts[sampler.Sample([5, float.NegativeInfinity, -5])]++;
            Assert.Equal(0, counts[1]);
            Assert.InRange(counts[0], 1350, 1650);
        }
    }

    [Theory]
    [InlineData(0, 1, 0.9, 1, "vocabSize")]
    [InlineData(-1, 1, 0.9, 1, "vocabSize")]
    [InlineData(5, -0.1, 0.9, 1, "temperature")]
    [InlineData(5, float.NaN, 0.9, 1, "temperature")]
    [InlineData(5, 1, -0.1, 1, "topp")]
    [InlineData(5, 1, 1.1, 1, "topp")]
    [InlineData(5, 1, float.NaN, 1, "topp")]
    [InlineData(5, 1, 0.9, 0, "seed")]
    public void A_setting_outside_its_range_is_refused(int vocabSize, float temperature, float topp, ulong seed, string parameter) =>
        Assert.Equal(parameter, Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(vocabSize, temperature, topp, seed))
            .ParamName);

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    public void Logits_of_another_vocabulary_are_refused(int length) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(5, 1, 0.9f, 1).Sample(new float[length]));

    /// <summary>The first coins of run.c's <c>random_f32</c>, in units of 2^-24, and the state after them.</summary>
    [Theory]
    [InlineData(1, 4711630, 11259814, 12177677, 0x000d004003202803)]
    [InlineData(42, 5688906, 13124075, 13256299, 0x01fa08005045006e)]
    [InlineData(133742, 11849731, 10446788, 9034627, 0x7be83b15d11e7a97)]
    [InlineData(0xFEDCBA9876543210, 8781098, 10126315, 6596261, 0x05d0990e669bed3e)]
    public void Coins_have_24_bits_and_are_those_of_run_c(ulong seed, int first, int second, int third, ulong state)
    {
        foreach (int expected in (int[])[first, second, third])
            Assert.Equal(expected, Sampler.RandomFloat(ref seed) * (1 << 24));
        Assert.Equal(state, seed);
    }
}
