namespace Llama2.Fast.Engine;

/// <summary>What an engine has done since it began, and what it is doing.</summary>
public sealed record EngineStatistics
{
    public int Running { get; init; }            // requests in pods
    public int Waiting { get; init; }            // requests in the queue
    public long Steps { get; init; }             // forward passes of the batch
    public long BusyPods { get; init; }          // over all steps, the requests that were in each
    public long PromptTokens { get; init; }      // that were fed
    public long CachedTokens { get; init; }      // of prompts, that were taken from kept caches
    public long GeneratedTokens { get; init; }
    public long DraftedTokens { get; init; }     // that were guessed ahead
    public long AcceptedTokens { get; init; }    // and were right
    public TimeSpan PromptTime { get; init; }    // of requests that have ended: from their start to their first token
    public TimeSpan GenerationTime { get; init; }
    public long KeptBytes { get; init; }         // of KV caches that are kept for prompts that begin alike
    public long KeptTokens { get; init; }        // in these
    public long RunningTokens { get; init; }     // in the KV caches of requests in pods
}

/// <summary>A place for a request that runs.</summary>
/// <param name="Id">From 0.</param>
/// <param name="IsBusy">Whether a request is in it.</param>
/// <param name="IsPrefill">Whether its prompt is being read.</param>
/// <param name="PromptTokens">Of its prompt.</param>
/// <param name="FedTokens">Of prompt and answer, that the model has seen.</param>
/// <param name="SampledTokens">Of the answer.</param>
public readonly record struct Pod(int Id, bool IsBusy, bool IsPrefill, int PromptTokens, int FedTokens, int SampledTokens);
