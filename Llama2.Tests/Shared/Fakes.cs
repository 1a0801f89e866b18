namespace Llama2.Tests.Shared;

/// <summary>A model without weights: its logits are given by a function of the rows that wanted a result so far.</summary>
internal sealed class FakeModel(int vocabSize, Func<int, float[]> logits, int seqLen = 64, int preferredRows = 128) : ITransformer
{
    private int _results;

    public Config Config { get; } = new(2, 2, 1, 1, 1, vocabSize, seqLen);

    public int PreferredRows => preferredRows;

    /// <summary>The number of rows in each call so far.</summary>
    public List<int> Calls { get; } = [];

    /// <summary>A model whose logits are always the same.</summary>
    public static FakeModel Fixed(params float[] logits) => new(logits.Length, _ => logits);

    /// <summary>A model whose n-th result is the n-th token of a script, whatever its input is; after the last comes the first.</summary>
    public static FakeModel Scripted(int vocabSize, params int[] script) => new(vocabSize, i =>
    {
        float[] logits = new float[vocabSize];
        logits[script[i % script.Length]] = 1;
        return logits;
    }, seqLen: 256);

    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        RowChecks.Prepare(Config, rows, output);
        Calls.Add(rows.Length);
        foreach (Row row in rows)
        {
            row.Cache.Advance();
            if (row.Want is Want.Logits or Want.Token)
            {
                float[] result = logits(_results++);
                (row.Want == Want.Logits ? result : [Sampler.ArgMax(result)]).CopyTo(output);
            }
            output = output[RowChecks.OutputLength(Config, row.Want)..];
        }
    }

    public void Dispose()
    {
    }
}
