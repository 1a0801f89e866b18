using System.Diagnostics;

namespace Llama2.Fast.Engine;

/// <summary>A request on its way through the engine, whose thread alone changes it.</summary>
internal abstract class Job(CancellationToken cancellation)
{
    private readonly long _submitted = Stopwatch.GetTimestamp();
    private long _started, _firstToken, _ended; // 0 until then

    public bool IsCancelled => cancellation.IsCancellationRequested;
    public bool IsBegun => _started != 0;
    public int Pod { get; set; } // while it runs

    public abstract int PromptTokens { get; }
    public abstract int CachedTokens { get; }  // of the prompt, that were taken from another cache
    public abstract int FedTokens { get; }     // in its cache: these, and those that the model has seen
    public abstract int SampledTokens { get; } // of the answer
    public abstract int Waiting { get; }       // tokens to feed before it goes on; behind the prompt it is one
    public abstract bool IsPrefill { get; }    // whether these are of the prompt

    public TimeSpan Queued => Stopwatch.GetElapsedTime(_submitted, IsBegun ? _started : Now);
    public TimeSpan Prefill => IsBegun ? Stopwatch.GetElapsedTime(_started, _firstToken != 0 ? _firstToken : Now) : TimeSpan.Zero;
    public TimeSpan Decode => _firstToken != 0 ? Stopwatch.GetElapsedTime(_firstToken, Now) : TimeSpan.Zero; // after the first token

    private long Now => _ended != 0 ? _ended : Stopwatch.GetTimestamp();

    /// <summary>A copy of tokens that a model of this shape can be fed.</summary>
    protected static int[] Checked(Config config, IReadOnlyList<int> tokens)
    {
        int[] own = [.. tokens];
        ArgumentOutOfRangeException.ThrowIfZero(own.Length, nameof(tokens));
        if (own.Length > config.SeqLen)
            throw new ContextFullException(config.SeqLen);
        foreach (int token in own)
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)config.VocabSize, nameof(tokens));
        return own;
    }

    /// <summary>Begins with the first positions of another cache, which are not fed again.</summary>
    public void Begin(KvCache? cache, int common)
    {
        _started = Stopwatch.GetTimestamp();
        Start(cache, common);
    }

    protected abstract void Start(KvCache? cache, int common);

    /// <summary>Takes the results of a step in which it was.</summary>
    /// <param name="error">Why it cannot go on, or null.</param>
    /// <returns>Whether it has ended.</returns>
    public bool Advance(out Exception? error)
    {
        if (_firstToken == 0 && !IsPrefill)
            _firstToken = Stopwatch.GetTimestamp();
        try
        {
            error = null;
            return TakeResults();
        }
        catch (Exception e)
        {
            error = new RequestFailedException(e);
            return true;
        }
    }

    protected abstract bool TakeResults();

    /// <summary>Tells the reader that it has ended: the last thing that happens to it.</summary>
    /// <param name="error">Why, if not as it should or because it was cancelled.</param>
    public void End(Exception? error)
    {
        _ended = Stopwatch.GetTimestamp();
        Complete(error);
    }

    protected abstract void Complete(Exception? error);
}
