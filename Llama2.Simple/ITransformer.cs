namespace Llama2.Simple;

/// <summary>The result that a <see cref="Row"/> asks of the forward pass.</summary>
public enum Want : byte
{
    Nothing,   // only its keys and values in the cache, as every prompt token but the last
    Logits,    // the logits of the next token: vocab_size floats
    Token,     // the id of the highest logit, the lowest such id: one float, which is exact below 2^24
    Embedding, // the state after the final norm: dim floats
}

/// <summary>One token to feed, the sequence of which it takes position <see cref="KvCache.Length"/>, and the result to append.</summary>
public readonly record struct Row(int Token, KvCache Cache, Want Want = Want.Nothing);

/// <summary>
/// The one way to run a model. Decode is one row, prefill is many rows of one cache, continuous batching is rows of several caches.
/// Weights are immutable and may be shared by threads; a transformer's scratch buffers may not, so one transformer serves one caller at a
/// time.
/// </summary>
public interface ITransformer : IDisposable
{
    Config Config { get; }

    /// <summary>Rows of a prompt to feed in one call: as many as make it fast, as few as let a caller stop in between.</summary>
    int PreferredRows { get; }

    /// <summary>
    /// Feeds rows in order. Row i takes position Cache.Length of its own cache, then advances it, and appends its result to <paramref
    /// name="output"/>.
    /// </summary>
    /// <param name="rows">The rows, of any mixture of caches.</param>
    /// <param name="output">At least <see cref="RowChecks.OutputLength(Config, ReadOnlySpan{Row})"/> floats.</param>
    /// <exception cref="ArgumentOutOfRangeException">A token id outside the vocabulary; nothing has changed.</exception>
    /// <exception cref="ArgumentException">The output is too short, or a cache has another shape; nothing has changed.</exception>
    /// <exception cref="ContextFullException">A cache has no room for its rows; nothing has changed.</exception>
    void Forward(ReadOnlySpan<Row> rows, Span<float> output);
}

/// <summary>The checks that every implementation of <see cref="ITransformer"/> makes before it computes anything.</summary>
public static class RowChecks
{
    /// <summary>Floats that <paramref name="rows"/> append to the output.</summary>
    public static int OutputLength(Config config, ReadOnlySpan<Row> rows)
    {
        int length = 0;
        foreach (Row row in rows)
            length = checked(length + OutputLength(config, row.Want));
        return length;
    }

    /// <summary>Floats that one row appends to the output.</summary>
    public static int OutputLength(Config config, Want want) => want switch
    {
        Want.Logits => config.VocabSize,
        Want.Token => 1,
        Want.Embedding => config.Dim,
        _ => 0,
    };

    /// <summary>Throws as <see cref="ITransformer.Forward"/> documents; changes nothing but the capacity of the caches.</summary>
    public static void Prepare(Config config, ReadOnlySpan<Row> rows, ReadOnlySpan<float> output)
    {
        if (output.Length < OutputLength(config, rows))
            throw new ArgumentException($"{output.Length} floats for an output of {OutputLength(config, rows)}", nameof(output));
        for (int i = 0; i < rows.Length; i++)
        {
            if ((uint)rows[i].Token >= (uint)config.VocabSize)
                throw new ArgumentOutOfRangeException(nameof(rows), rows[i].Token, $"no token id in a vocabulary of {config.VocabSize}");
            if (!rows[i].Cache.Fits(config))
                throw new ArgumentException("the cache was made for another shape of model", nameof(rows));
            int positions = rows[i].Cache.Length + 1;
            foreach (Row earlier in rows[..i])
                positions += earlier.Cache == rows[i].Cache ? 1 : 0;
            rows[i].Cache.EnsureCapacity(positions);
        }
    }
}
