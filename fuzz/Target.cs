using SharpFuzz;

namespace Llama2.Fuzz;

/// <summary>Something to fuzz.</summary>
/// <param name="Name">Also of its corpus.</param>
/// <param name="Run">Tries the code under test with one input. Keeps no state; throws if a promise is broken.</param>
internal sealed record Target(string Name, ReadOnlySpanAction Run)
{
    public static IReadOnlyList<Target> All { get; } =
    [
        new("CheckpointV0", data => Targets.CheckpointFile.Run(data, version: 0)),
        new("CheckpointV1", data => Targets.CheckpointFile.Run(data, version: 1)),
        new("CheckpointV2", data => Targets.CheckpointFile.Run(data, version: 2)),
        new("TokenizerFile", Targets.TokenizerFile.Run),
        new("Gguf", Targets.Gguf.Run),
        new("SessionFile", Targets.SessionFile.Run),
        new("Encode", data => Targets.Encode.Run(data, gguf: false)),
        new("EncodeGguf", data => Targets.Encode.Run(data, gguf: true)),
        new("TextStream", Targets.TextStream.Run),
        new("Sampler", Targets.Sampler.Run),
        new("MatMul", Targets.MatMul.Run),
        new("Blocks", Targets.Blocks.Run),
        new("Quantize", Targets.Quantize.Run),
        new("Forward", Targets.Forward.Run),
        new("Shortlist", Targets.Shortlist.Run),
        new("Speculate", Targets.Speculate.Run),
        new("Request", Targets.Request.Run),
        new("Options", Targets.Options.Run),
    ];

    /// <summary>Tests the fuzzers themselves.</summary>
    public static Target Planted { get; } = new("Planted", Targets.Planted.Run);

    public static Target? Find(string name) => All.Append(Planted).FirstOrDefault(target => target.Name == name);
}

/// <summary>The code under test broke a promise.</summary>
internal sealed class BrokenPromiseException(string message) : Exception(message);
