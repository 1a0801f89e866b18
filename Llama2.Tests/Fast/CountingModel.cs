namespace Llama2.Tests.Fast;

/// <summary>A model without weights that counts: the likeliest token after t is t + 1. Tests see its passes and may hold them.</summary>
/// <param name="onForward">Called by each pass, before it, with its rows.</param>
internal sealed class CountingModel(Action<Row[]>? onForward = null, int seqLen = 256, int preferredRows = 8) : ITransformer
{
    public const int Vocab = 300;

    public Config Config { get; } = new(2, 2, 1, 1, 1, Vocab, seqLen);
    public int PreferredRows => preferredRows;

    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        onForward?.Invoke(rows.ToArray());
        RowChecks.Prepare(Config, rows, output);
        foreach (Row row in rows)
        {
            row.Cache.Advance();
            Span<float> result = output[..RowChecks.OutputLength(Config, row.Want)];
            int next = (row.Token + 1) % Vocab;
            result.Clear();
            if (row.Want == Want.Logits)
                result[next] = 1;
            else if (row.Want == Want.Token)
                result[0] = next;
            else if (row.Want == Want.Embedding)
                (result[0], result[1]) = (row.Token, row.Cache.Length);
            output = output[result.Length..];
        }
    }

    public void Dispose()
    {
    }
}
