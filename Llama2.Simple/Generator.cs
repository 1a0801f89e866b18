using System.Diagnostics;

namespace Llama2.Simple;

/// <summary>run.c's generation loop, with its times.</summary>
/// <param name="session">A session, empty so far or with the first tokens of the prompt.</param>
public sealed class Generator(Session session)
{
    private readonly int _loaded = session.Tokens.Length;
    private long _started, _prompted, _firstToken, _ended;

    /// <summary>Tokens of the prompt that were fed.</summary>
    public int PromptTokens { get; private set; }

    /// <summary>Tokens that were fed, of the prompt and sampled ones.</summary>
    public int FedTokens => session.Tokens.Length - _loaded;

    /// <summary>Tokens that were sampled, the one that ended the text included.</summary>
    public int GeneratedTokens { get; private set; }

    /// <summary>The token that was sampled last, while it has not been fed.</summary>
    public int? Pending { get; private set; }

    /// <summary>Time that feeding the prompt took.</summary>
    public TimeSpan PromptTime => Stopwatch.GetElapsedTime(_started, _prompted);

    /// <summary>Time from the start to the first sampled token.</summary>
    public TimeSpan TimeToFirstToken => Stopwatch.GetElapsedTime(_started, _firstToken);

    /// <summary>Time from the first sampled token to the last.</summary>
    public TimeSpan GenerationTime => Stopwatch.GetElapsedTime(_firstToken, _ended);

    /// <summary>
    /// What run.c reports: tokens per second without the first one, whose pass may be slower. A prompt is fed in one go
    /// here, so its first token cannot be told apart; with a prompt the time of all tokens counts.
    /// </summary>
    public double AchievedTokensPerSecond =>
        (FedTokens - 1) / Stopwatch.GetElapsedTime(PromptTokens == 1 ? _prompted : _started, _ended).TotalSeconds;

    /// <summary>
    /// The tokens that follow the first one of the prompt: the rest of the prompt, at once, then sampled ones as they
    /// come, until <paramref name="steps"/> tokens were fed or BOS is sampled, which delimits texts and is not returned.
    /// </summary>
    /// <param name="prompt">The prompt's tokens, at least one more than the session has; a prompt longer than the steps is cut.</param>
    /// <param name="steps">Forward passes, 1 to <see cref="Config.SeqLen"/>.</param>
    /// <param name="cancellation">Ends the sequence after the current token.</param>
    public IEnumerable<int> Generate(int[] prompt, int steps, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentOutOfRangeException.ThrowIfZero(prompt.Length);
        PromptTokens = Math.Min(prompt.Length, steps) - _loaded;
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(PromptTokens, nameof(prompt));
        for (int i = 1; i <= Math.Min(prompt.Length - 1, steps); i++)
            yield return prompt[i];

        _started = _prompted = _firstToken = _ended = Stopwatch.GetTimestamp();
        if (!Feed(prompt.AsSpan(_loaded, PromptTokens), cancellation))
            yield break;
        _prompted = _firstToken = _ended = Stopwatch.GetTimestamp();

        while (prompt.Length <= steps)
        {
            int next = session.Sample();
            Pending = next;
            _ended = Stopwatch.GetTimestamp();
            if (GeneratedTokens++ == 0)
                _firstToken = _ended;
            if (next == Tokenizer.Bos)
                yield break;
            yield return next;
            if (session.Tokens.Length >= steps || !Feed([next], cancellation))
                yield break;
            Pending = null;
        }
    }

    private bool Feed(ReadOnlySpan<int> tokens, CancellationToken cancellation)
    {
        try
        {
            session.Feed(tokens, cancellation);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
