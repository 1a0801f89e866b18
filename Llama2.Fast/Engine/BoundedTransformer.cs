namespace Llama2.Fast.Engine;

/// <summary>A transformer that is fed prompts in chunks of another size.</summary>
internal sealed class BoundedTransformer(ITransformer transformer, int preferredRows) : ITransformer
{
    public Config Config => transformer.Config;
    public int PreferredRows => preferredRows;
    public void Forward(ReadOnlySpan<Row> rows, Span<float> output) => transformer.Forward(rows, output);

    public void Dispose()
    {
        // the other belongs to the caller
    }
}
