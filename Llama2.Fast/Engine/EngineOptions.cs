using Llama2.Simple.Generation.Speculation;

namespace Llama2.Fast.Engine;

/// <summary>The limits of a <see cref="GenerationEngine"/>.</summary>
public sealed record EngineOptions
{
    public int Pods { get; init; } = 4;                // requests that run at once; each has a KV cache
    public int MaxQueue { get; init; } = 256;          // requests that wait for a pod
    public long CacheBytes { get; init; } = 256 << 20; // of KV caches kept for prompts that begin alike; 0: nothing is shared
    public int MaxFailures { get; init; } = 3;         // steps that fail one after another, until the engine counts as broken

    /// <summary>Tokens of prompts that a step feeds beside the answers; default: <see cref="ITransformer.PreferredRows"/>.</summary>
    public int? PromptRows { get; init; }

    public DraftPolicy? Drafts { get; init; } // has answers take several tokens a step; it is the engine's own
    public Func<IReadOnlyList<IDrafter>> NewDrafters { get; init; } = static () => []; // for one more answer

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Pods, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(MaxQueue);
        ArgumentOutOfRangeException.ThrowIfNegative(CacheBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxFailures, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(PromptRows ?? 1, 1);
    }
}
