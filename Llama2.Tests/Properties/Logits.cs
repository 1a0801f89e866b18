namespace Llama2.Tests.Properties;

/// <summary>The logits that an implementation gives for tokens.</summary>
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
}
