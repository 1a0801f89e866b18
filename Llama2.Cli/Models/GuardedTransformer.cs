using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Models;

/// <summary>
/// Looks, before each call, whether another program has cut the model's file: reading what is gone would end this process.
/// </summary>
internal sealed class GuardedTransformer(ITransformer transformer, ModelFile file) : ITransformer
{
    public Config Config => transformer.Config;
    public int PreferredRows => transformer.PreferredRows;

    /// <exception cref="ModelFileException">The file is shorter than it was when it was opened.</exception>
    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        file.ThrowIfCut();
        transformer.Forward(rows, output);
    }

    public void Dispose() => transformer.Dispose();
}
