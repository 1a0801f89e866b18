namespace Llama2.Tests.Simple;

public sealed class SamplerTests
{
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
