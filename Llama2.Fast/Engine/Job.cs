using System.Diagnostics;

namespace Llama2.Fast.Engine;

/// <summary>A request on its way through the engine, whose thread alone changes it.</summary>
/// <param name="tokens">The prompt: tokens that a model of this shape can be fed.</param>
internal abstract class Job(Config config, IReadOnlyList<int> tokens, CancellationToken cancellation)
{
    private readonly long _submitted = Stopwatch.GetTimestamp();
    private long _started, _firstToken, _ended; // 0 until then

    public bool IsCancelled => cancellation.IsCancellationRequested;
    public bool IsBegun => _started != 0;

    protected Config Config { get; } = config;
    public int[] Prompt { get; } = Checked(config, tokens);
    public int PromptTokens => Prompt.Length;
    public int CachedTokens { get; protected set; }  // of the prompt, that were taken from another cache
    public int SampledTokens { get; protected set; } // of the answer
    public abstract int FedTokens { get; }           // in its cache: these, and those that the model has seen
    public int Unread => Math.Max(0, PromptTokens - FedTokens); // tokens of the prompt
    public bool IsPrefill => Unread > 0;

    public TimeSpan Queued => Stopwatch.GetElapsedTime(_submitted, IsBegun ? _started : Now);
    public TimeSpan Prefill => IsBegun ? Stopwatch.GetElapsedTime(_started, _firstToken != 0 ? _firstToken : Now) : TimeSpan.Zero;
    public TimeSpan Decode => _firstToken != 0 ? Stopwatch.GetElapsedTime(_firstToken, Now) : TimeSpan.Zero; // after the first token

    private long Now => _ended != 0 ? _ended : Stopwatch.GetTimestamp();

    /// <summary>Begins with the first positions of another cache, which are not fed again.</summary>
    public virtual void Begin(KvCache? cache, int common) => _started = Stopwatch.GetTimestamp();

    /// <summary>Takes the results of a step in which it was.</summary>
    /// <param name="error">Why it cannot go on, or null.</param>
    /// <returns>Whether it has ended.</returns>
    public bool Advance(out Exception? error)
    {
        if (_firstToken == 0 && !IsPrefill)
            _firstToken = Stopwatch.GetTimestamp();
        error = Failure is { } failure ? new RequestFailedException(failure) : null;
        return error is not null || TakeResults();
    }

    protected virtual Exception? Failure => null; // of what the request brought along
    protected abstract bool TakeResults();

    /// <summary>Tells the reader that it has ended: the last thing that happens to it.</summary>
    /// <param name="error">Why, if not as it should or because it was cancelled.</param>
    public virtual void End(Exception? error) => _ended = Stopwatch.GetTimestamp();

    private static int[] Checked(Config config, IReadOnlyList<int> tokens)
    {
        int[] own = [.. tokens];
        ArgumentOutOfRangeException.ThrowIfZero(own.Length, nameof(tokens));
        if (own.Length > config.SeqLen)
            throw new ContextFullException(config.SeqLen);
        foreach (int token in own)
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)config.VocabSize, nameof(tokens));
        return own;
    }
}
