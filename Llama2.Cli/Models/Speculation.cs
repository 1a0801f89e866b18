using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Generation.Speculation;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Models;

/// <summary>What guesses tokens of a model's texts, and how often it was right. With --impl simple nothing does.</summary>
internal sealed class Speculation
{
    public const string Auto = "auto", Off = "off", Self = "self", Lookup = "lookup";

    private const long MinBytes = 8 << 20;        // of weights: the tokens of smaller models take less time than deciding is worth
    private const long MinCopiedBytes = 32 << 20; // of float32 weights, from which on reading them is what takes the time
    private const double MaxMemory = 0.8;         // of the machine's, for weights and copy: else weights are read again from the file
    private const int MinGroupSize = 32;          // a copy with smaller groups has more than 30 % of the model's bytes

    private readonly string _mode;
    private readonly Lazy<ITransformer>? _copy;
    private readonly SelfDrafter? _self; // of all sequences, which it drafts for together

    public Speculation(LoadedModel model, string mode)
    {
        _mode = mode;
        bool isTooSmall = mode == Auto && WeightBytes(model) < MinBytes;
        if (mode != Off && !isTooSmall && model.Implementation != LoadedModel.Simple)
            Policy = new AdaptiveDrafts(TimeProvider.System, always: mode != Auto);
        if (Policy is not null && (mode == Self || (mode == Auto && IsCopiedByDefault(model.Config, model.Weights) && FitsMemory(model))))
            (_self, _copy) = (new SelfDrafter(model.CopyForDrafts), model.CopyForDrafts);
    }

    /// <summary>The values of --speculate, the default first.</summary>
    public static readonly string[] Modes = [Auto, Off, Self, Lookup];

    /// <summary>For each batch of the model; null where nothing is guessed.</summary>
    public DraftPolicy? Policy { get; }

    /// <summary>What was guessed so far, in words; null where nothing was.</summary>
    public string? Summary => Policy is { Drafted: > 0 } policy
        ? $"speculation: {policy.Drafted} drafted, {policy.Accepted} accepted, {policy.TokensPerStep:F2} tokens a step"
        : null;

    /// <summary>Drafters for one more sequence.</summary>
    public IReadOnlyList<IDrafter> NewDrafters() => Policy is null ? []
        : _self is null ? [new LookupDrafter()]
        : _mode == Self ? [_self]
        : [new LookupDrafter(), _self];

    /// <summary>Makes the smaller copy, if there is to be one; else the first text that it pays for waits for it.</summary>
    public void Prepare() => _ = _copy?.Value;

    private static bool FitsMemory(LoadedModel model)
    {
        long copy = WeightQuantizer.CopyBytes(model.Config, WeightQuantizer.GroupSizeFor(model.Config));
        return WeightBytes(model) + copy <= MaxMemory * GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
    }

    // A loop, since LINQ over tuples is compiled anew, which the run of a small model notices.
    private static long WeightBytes(LoadedModel model)
    {
        long bytes = 0;
        foreach ((_, _, Tensor tensor) in model.Weights.Named())
            bytes += tensor.Bytes;
        return bytes;
    }

    /// <summary>Whether auto makes a copy of these weights where it pays.</summary>
    public static bool IsCopiedByDefault(Config config, Weights weights)
    {
        int groupSize = WeightQuantizer.GroupSizeFor(config);
        return weights.AreFloat32 && groupSize >= MinGroupSize
            && WeightQuantizer.CopyBytes(config, groupSize) >= MinCopiedBytes / sizeof(float);
    }
}
