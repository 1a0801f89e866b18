using Llama2.Simple;

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
        Assert.Equal(parameter, Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(vocabSize, temperature, topp, seed)).ParamName);

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    public void Logits_of_another_vocabulary_are_refused(int length) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new Sampler(5, 1, 0.9f, 1).Sample(new float[length]));
}
