namespace Llama2.Simple;

/// <summary>What a <see cref="Row"/> asks of the forward pass.</summary>
public enum Want : byte
{
    /// <summary>Only its keys and values in the cache, as every prompt token but the last.</summary>
    Nothing,

    /// <summary>The logits of the next token: <see cref="Config.VocabSize"/> floats.</summary>
    Logits,

    /// <summary>The state after the final norm: <see cref="Config.Dim"/> floats.</summary>
    Embedding,
}

/// <summary>One token to feed, the sequence it belongs to, and what is wanted of it.</summary>
/// <param name="Token">Token id, 0 to <see cref="Config.VocabSize"/> - 1.</param>
/// <param name="Cache">The sequence; the row takes position <see cref="KvCache.Length"/> of it.</param>
/// <param name="Want">What the row appends to the output.</param>
public readonly record struct Row(int Token, KvCache Cache, Want Want = Want.Nothing);

/// <summary>
/// The one way to run a model. Decode is one row, prefill is many rows of one cache, continuous batching is rows of
/// several caches. Weights are immutable and may be shared by threads; a transformer's scratch buffers may not, so one
/// transformer serves one caller at a time.
/// </summary>
public interface ITransformer : IDisposable
{
    /// <summary>The model's hyperparameters.</summary>
    Config Config { get; }

    /// <summary>
    /// Feeds rows in order. Row i takes position Cache.Length of its own cache, then advances it. Each row that wants
    /// something appends VocabSize (logits) or Dim (embedding) floats to <paramref name="output"/>.
    /// </summary>
    /// <param name="rows">The rows, of any mixture of caches.</param>
    /// <param name="output">At least <see cref="Rows.OutputLength(Config, ReadOnlySpan{Row})"/> floats; what is beyond stays as it was.</param>
    /// <exception cref="ArgumentOutOfRangeException">A token id outside the vocabulary; nothing has changed.</exception>
    /// <exception cref="ArgumentException">The output is too short, or a cache belongs to another shape of model; nothing has changed.</exception>
    /// <exception cref="ContextFullException">A cache has no room for its rows; nothing has changed.</exception>
    void Forward(ReadOnlySpan<Row> rows, Span<float> output);
}

/// <summary>
/// A transformer whose language head, the steps from the state after the final norm to the choice of a token, can be had
/// by itself. Who samples greedily asks its rows for <see cref="Want.Embedding"/> and then for the token, which may be
/// found without all of the logits.
/// </summary>
public interface ILanguageHead : ITransformer
{
    /// <summary>From what a row wanting <see cref="Want.Embedding"/> gave, what it had given wanting <see cref="Want.Logits"/>, bit for bit.</summary>
    /// <param name="embedding">The state after the final norm: (dim,).</param>
    /// <param name="logits">Receives the logits: (vocab_size,).</param>
    /// <exception cref="ArgumentOutOfRangeException">A span of another length.</exception>
    void Classify(ReadOnlySpan<float> embedding, Span<float> logits);

    /// <summary>What <see cref="Sampler.ArgMax"/> makes of these logits.</summary>
    /// <param name="embedding">The state after the final norm: (dim,).</param>
    /// <exception cref="ArgumentOutOfRangeException">A span of another length.</exception>
    int ArgMax(ReadOnlySpan<float> embedding);

    /// <summary>logits = softmax(logits / temperature), as <see cref="Sampler.Softmax"/>: (vocab_size,).</summary>
    /// <exception cref="ArgumentOutOfRangeException">A span of another length.</exception>
    void Softmax(Span<float> logits, float temperature);
}

/// <summary>A sequence has reached the model's context length.</summary>
/// <param name="seqLen">The context length in tokens.</param>
public sealed class ContextFullException(int seqLen) : InvalidOperationException($"the context is full: this model holds {seqLen} tokens");

/// <summary>What every implementation of <see cref="ITransformer"/> does before it computes anything.</summary>
public static class Rows
{
    /// <summary>Floats that <paramref name="rows"/> append to the output.</summary>
    public static int OutputLength(Config config, ReadOnlySpan<Row> rows)
    {
        int length = 0;
        foreach (Row row in rows)
            length = checked(length + OutputLength(config, row.Want));
        return length;
    }

    /// <summary>Floats that one row wanting <paramref name="want"/> appends to the output.</summary>
    public static int OutputLength(Config config, Want want) => want switch
    {
        Want.Logits => config.VocabSize,
        Want.Embedding => config.Dim,
        _ => 0,
    };

    /// <summary>Throws what <see cref="ITransformer.Forward"/> documents; changes nothing but spare capacity of the caches.</summary>
    public static void Prepare(Config config, ReadOnlySpan<Row> rows, ReadOnlySpan<float> output)
    {
        if (output.Length < OutputLength(config, rows))
            throw new ArgumentException($"the output holds {output.Length} floats, the rows want {OutputLength(config, rows)}", nameof(output));
        try
        {
            foreach (Row row in rows)
            {
                if ((uint)row.Token >= (uint)config.VocabSize)
                    throw new ArgumentOutOfRangeException(nameof(rows), row.Token, $"token id outside the vocabulary of {config.VocabSize}");
                row.Cache.Reserve(config);
            }
        }
        finally
        {
            foreach (Row row in rows)
                row.Cache.EndReserve();
        }
    }
}
