namespace Llama2.Tests.Shared;

internal static class Generating
{
    /// <summary>The tokens after a prompt, as many as run.c makes in so many steps; a BOS ends them.</summary>
    public static int[] Tokens(ITransformer transformer, ISampler sampler, int[] prompt, int steps)
    {
        Sequence sequence = new(transformer.Config, sampler) { IsEnd = token => token == Tokenizer.BosId };
        sequence.Append(prompt);
        sequence.MaxNewTokens = steps - prompt.Length + 1;
        foreach (string _ in new Batch(transformer).Run(sequence, TestContext.Current.CancellationToken))
            continue;
        return [.. sequence.Tokens[prompt.Length..]];
    }
}
