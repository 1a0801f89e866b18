using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Generate;

/// <summary>The text that a model tells without a prompt, the likeliest token at each step.</summary>
internal static class GreedyText
{
    /// <summary>BOS and the next tokens, fewer than count where the context is full.</summary>
    public static int[] Of(ITransformer transformer, int count, CancellationToken cancellation)
    {
        Config config = transformer.Config;
        Sequence text = new(config, new Sampler(config.VocabSize, temperature: 0, topp: 0, seed: 1)) { MaxNewTokens = count };
        text.Append([Math.Min(Tokenizer.BosId, config.VocabSize - 1)]);
        foreach (string _ in new Batch(transformer).Run(text, cancellation))
            continue;
        cancellation.ThrowIfCancellationRequested();
        return [.. text.Tokens];
    }
}
