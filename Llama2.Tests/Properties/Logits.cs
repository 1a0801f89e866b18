using Llama2.Simple;

namespace Llama2.Tests.Properties;

/// <summary>The logits that an implementation gives for tokens, and how two of them are compared.</summary>
internal static class Logits
{
    /// <summary>Logits after every token, one token a call: (tokens)(vocab_size,).</summary>
    public static float[][] OneByOne(ITransformer transformer, int[] tokens)
    {
        KvCache cache = new(transformer.Config);
        return [.. tokens.Select(token =>
        {
            float[] logits = new float[transformer.Config.VocabSize];
            transformer.Forward([new Row(token, cache, Want.Logits)], logits);
            return logits;
        })];
    }

    /// <summary>The same bits, but that any NaN equals any NaN.</summary>
    public static void AssertSameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what = "")
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]) && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
                Assert.Fail($"{what} element {i} of {expected.Length}: expected {expected[i]:R}, found {actual[i]:R}");
        }
    }
}
