namespace Llama2.Simple.Generation;

/// <summary>
/// How well a model predicts a text: each token costs the natural logarithm of 1 / its probability, in nats, and the perplexity is e to
/// the mean of these.
/// </summary>
/// <param name="Tokens">Tokens that were predicted.</param>
/// <param name="Windows">Windows of the text that were read.</param>
/// <param name="Nats">What all tokens cost, added up in the text's order.</param>
public sealed record Perplexity(int Tokens, int Windows, double Nats)
{
    private const int MaxLogits = 1 << 22; // floats in memory at once, but for one row

    public double NatsPerToken => Nats / Tokens;
    public double Value => Math.Exp(NatsPerToken);

    /// <summary>
    /// Reads a text in windows, each from an empty cache. A window begins with BOS, where the model's texts do, and <paramref
    /// name="stride"/> tokens after the window before; a token is predicted in the first window that it is in. The figure does not depend
    /// on how many rows are fed at once.
    /// </summary>
    /// <param name="tokens">The text, without BOS.</param>
    /// <param name="bos">The token before each window; null for none: the text's first token is then not predicted.</param>
    /// <param name="window">Tokens of a window, BOS included: at least 2, at most the model's context.</param>
    /// <param name="stride">Tokens from one window's start to the next one's: at least 1, less than a window.</param>
    /// <param name="onProgress">Gets what is known so far, after each chunk of rows.</param>
    /// <param name="cancellation">Ends it after a chunk of rows.</param>
    public static Perplexity Of(ITransformer transformer, ReadOnlySpan<int> tokens, int? bos, int window, int stride,
        Action<Perplexity>? onProgress = null, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(window, transformer.Config.SeqLen);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(stride, window);
        Perplexity sum = new(0, 0, 0);
        int next = bos is null ? 1 : 0; // the first token that was not predicted yet
        for (int start = 0; next < tokens.Length; start += stride)
        {
            int end = (int)Math.Min((long)start + window - (bos is null ? 0 : 1), tokens.Length);
            int[] read = [.. bos is { } first ? [first] : Array.Empty<int>(), .. tokens[start..end]];
            sum = Read(transformer, read, predicted: end - next, sum with { Windows = sum.Windows + 1 }, onProgress, cancellation);
            next = end;
        }
        return sum;
    }

    // Adds what the last tokens of a window cost.
    private static Perplexity Read(ITransformer transformer, ReadOnlySpan<int> window, int predicted, Perplexity sum,
        Action<Perplexity>? onProgress, CancellationToken cancellation)
    {
        int vocab = transformer.Config.VocabSize, chunk = Math.Clamp(MaxLogits / vocab, 1, transformer.PreferredRows);
        KvCache cache = new(transformer.Config, window.Length - 1);
        Row[] rows = new Row[chunk];
        float[] logits = new float[Math.Min(chunk, predicted) * vocab];
        for (int at = 0, count; at < window.Length - 1; at += count) // the last token is only predicted
        {
            cancellation.ThrowIfCancellationRequested();
            count = Math.Min(chunk, window.Length - 1 - at);
            int firstWanted = Math.Max(at, window.Length - 1 - predicted);
            for (int i = 0; i < count; i++)
                rows[i] = new Row(window[at + i], cache, at + i < firstWanted ? Want.Nothing : Want.Logits);
            transformer.Forward(rows.AsSpan(0, count), logits);
            for (int i = firstWanted; i < at + count; i++)
            {
                double logProbability = LogProbabilities.Of(logits.AsSpan((i - firstWanted) * vocab, vocab), window[i + 1]);
                sum = sum with { Tokens = sum.Tokens + 1, Nats = sum.Nats - logProbability };
            }
            onProgress?.Invoke(sum);
        }
        return sum;
    }
}
