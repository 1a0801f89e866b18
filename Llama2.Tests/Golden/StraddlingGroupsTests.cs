namespace Llama2.Tests.Golden;

/// <summary>An int8 export whose groups of 32 straddle the rows of w2 (172 columns), where runq.c prints garbage.</summary>
public sealed class StraddlingGroupsTests(ITestOutputHelper output)
{
    [Fact]
    public void Logits_are_those_of_the_dequantised_weights_within_the_error_of_int8_activations()
    {
        Repository.SkipWithoutShared();
        using Checkpoint int8 = Checkpoint.Open(Repository.Shared("weights", "stories260K_q80_gs32.bin"));
        using Checkpoint fine = Checkpoint.Open(Repository.Shared("weights", "stories260K_q80.bin")); // groups of 4, which fit
        Assert.NotEqual(0, int8.Config.HiddenDim % int8.Header.GroupSize);
        int[] story = GoldenCase.Read("stories260K.greedy").Tokens;
        double error = RelativeError(int8, story), errorOfFine = RelativeError(fine, story);
        output.WriteLine($"relative error of the logits: {error:P2}; with groups that fit: {errorOfFine:P2}");
        Assert.InRange(error, 0, 0.02);
    }

    [Fact]
    public void Its_story_is_the_one_that_float32_tells()
    {
        Repository.SkipWithoutShared();
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Shared("weights", "stories260K_q80_gs32.bin"));
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Shared("weights", "tok512.bin"), checkpoint.Config.VocabSize);
        string golden = GoldenCase.Read("stories260K.greedy").Text;
        string dequantised = Story(checkpoint.Config, Dequantised.Of(checkpoint.Weights), tokenizer), int8 =
            Story(checkpoint.Config, checkpoint.Weights, tokenizer);
        output.WriteLine($"dequantised: {dequantised}\nint8: {int8}");
        Assert.Equal(golden[..50], int8[..50]);
        Assert.Equal(dequantised[..50], int8[..50]);
    }

    /// <summary>Root of the mean square of logit differences, as a part of that of the logits.</summary>
    private static double RelativeError(Checkpoint checkpoint, int[] tokens)
    {
        using Transformer actual = new(checkpoint.Config, checkpoint.Weights), expected =
            new(checkpoint.Config, Dequantised.Of(checkpoint.Weights));
        float[][] a = Properties.Logits.OneByOne(actual, tokens), e = Properties.Logits.OneByOne(expected, tokens);
        double difference = a.Zip(e).Sum(pair => pair.First.Zip(pair.Second).Sum(x => Math.Pow(x.First - x.Second, 2)));
        return Math.Sqrt(difference / e.Sum(logits => logits.Sum(x => (double)x * x)));
    }

    private static string Story(Config config, Weights weights, Tokenizer tokenizer)
    {
        using Transformer transformer = new(config, weights);
        Sampler greedy = new(config.VocabSize, temperature: 0, topp: 0.9f, seed: 1);
        return tokenizer.Decode([Tokenizer.BosId, .. Generating.Tokens(transformer, greedy, [Tokenizer.BosId], 200)]);
    }
}
