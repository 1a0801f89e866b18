namespace Llama2.Fuzz;

/// <summary>Tries the code under test with one input. Keeps no state; throws if a promise is broken.</summary>
internal delegate void TargetAction(ReadOnlySpan<byte> data);

/// <summary>An input to begin with.</summary>
internal readonly record struct Seed(string Name, byte[] Data);

/// <summary>Something to fuzz.</summary>
/// <param name="Run">A static method of a class that gives the target its name.</param>
/// <param name="Seeds">Small inputs to begin with.</param>
/// <param name="Words">Bytes that random mutations would not find, such as magic numbers; for our own loop.</param>
internal sealed record Target(TargetAction Run, Func<IEnumerable<Seed>> Seeds, Func<byte[][]>? Words = null)
{
    public string Name => Run.Method.DeclaringType!.Name;

    public static IReadOnlyList<Target> All { get; } =
    [
        new(Targets.CheckpointV0.Run, Targets.CheckpointV0.Seeds),
        new(Targets.CheckpointV1.Run, Targets.CheckpointV1.Seeds, () => [Targets.CheckpointFile.Magic(1)]),
        new(Targets.CheckpointV2.Run, Targets.CheckpointV2.Seeds, () => [Targets.CheckpointFile.Magic(2)]),
        new(Targets.TokenizerFile.Run, Targets.TokenizerFile.Seeds, () => [[.. "<0x41>"u8], [.. "\n</s>\n"u8]]),
        new(Targets.Gguf.Run, Targets.Gguf.Seeds, Targets.Gguf.Words),
        new(Targets.SessionFile.Run, Targets.SessionFile.Seeds, Targets.SessionFile.Words),
        new(Targets.Encode.Run, Targets.Encode.Seeds, () => [[.. "<0x41>"u8], [.. "\n<s>\n"u8], [.. "😀"u8]]),
        new(Targets.EncodeGguf.Run, Targets.EncodeGguf.Seeds, () => [[.. "<0x41>"u8], [.. "\u2581"u8], [.. "'s"u8], [.. "𝟙"u8]]),
        new(Targets.TextStream.Run, Targets.TextStream.Seeds, () => [[.. "😀"u8], [.. "€"u8], [0xed, 0xa0, 0x80]]),
        new(Targets.Sampler.Run, Targets.Sampler.Seeds),
        new(Targets.MatMul.Run, Targets.MatMul.Seeds),
        new(Targets.Blocks.Run, Targets.Blocks.Seeds),
        new(Targets.Quantize.Run, Targets.Quantize.Seeds),
        new(Targets.Forward.Run, Targets.Forward.Seeds),
        new(Targets.Shortlist.Run, Targets.Shortlist.Seeds),
        new(Targets.Speculate.Run, Targets.Speculate.Seeds),
        new(Targets.Request.Run, Targets.Request.Seeds, Targets.Request.Words),
        new(Targets.Options.Run, Targets.Options.Seeds, Targets.Options.Words),
    ];

    public static Target? Find(string name) => All.Append(Planted).FirstOrDefault(target => target.Name == name);

    /// <summary>Tests the fuzzers themselves.</summary>
    public static Target Planted { get; } = new(Targets.Planted.Run, () => [new("seed-empty", [])]);
}

/// <summary>The code under test broke a promise.</summary>
internal sealed class BrokenPromiseException(string message) : Exception(message);
