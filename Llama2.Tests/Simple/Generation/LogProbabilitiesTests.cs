namespace Llama2.Tests.Simple.Generation;

public sealed class LogProbabilitiesTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1000)] // exp would overflow
    [InlineData(-1000)] // exp would vanish
    public void They_are_the_logarithms_of_the_softmax_wherever_the_logits_lie(float shift)
    {
        double[] probabilities = [0.5, 0.125, 0.25, 0.125];
        float[] logits = [.. probabilities.Select(p => (float)(Math.Log(p) + shift))];
        for (int token = 0; token < logits.Length; token++)
            Assert.Equal(Math.Log(probabilities[token]), LogProbabilities.Of(logits, token), 1e-4);
    }

    [Fact]
    public void The_likeliest_come_first_and_of_equal_ones_the_lower_id()
    {
        float[] logits = [1, 3, 2, 3, -1];
        Assert.Equal([1, 3, 2], LogProbabilities.Top(logits, 3).Select(top => top.Token));
        (int Token, double LogProbability)[] all = LogProbabilities.Top(logits, 9);
        Assert.Equal([1, 3, 2, 0, 4], all.Select(top => top.Token));
        Assert.All(all, top => Assert.Equal(LogProbabilities.Of(logits, top.Token), top.LogProbability));
        Assert.Equal(1, all.Sum(top => Math.Exp(top.LogProbability)), 1e-12);
    }
}
