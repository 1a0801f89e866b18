using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli;

/// <summary>The implementations of the model that --impl swaps.</summary>
internal static class Implementations
{
    public static readonly string[] Names = ["simple"];

    public static string Default => Names[0];

    public static ITransformer Create(string name, Checkpoint checkpoint) => name switch
    {
        "simple" => new Transformer(checkpoint.Config, checkpoint.Weights),
        _ => throw new UsageException($"--impl: no implementation is called {name}"),
    };

    /// <summary>Tokens of a prompt a forward pass: simple gains nothing by more, and Ctrl-C is heard between passes.</summary>
    public static int BatchSize(string name) => name == "simple" ? 1 : 128;
}
