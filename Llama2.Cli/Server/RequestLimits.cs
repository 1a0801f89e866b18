namespace Llama2.Cli.Server;

/// <summary>How much a request may ask for, where neither its API nor the model says it.</summary>
internal sealed record RequestLimits
{
    public int MaxStops { get; init; } = 16;        // strings that end a text
    public int MaxStopLength { get; init; } = 1000; // characters of each
    public int MaxLogProbs { get; init; } = 20;     // likeliest tokens whose logarithms come with each token
    public int MaxLogits { get; init; } = 16 << 20; // of a raw request of RLLaMA's API, since they wait for a slow reader
}
