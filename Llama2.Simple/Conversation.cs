using System.Runtime.InteropServices;

namespace Llama2.Simple;

/// <summary>A turn of a <see cref="Conversation"/>.</summary>
/// <param name="Start">Where its tokens begin.</param>
/// <param name="Answer">Where the tokens of the answer begin.</param>
/// <param name="User">What the user said.</param>
/// <param name="Ended">Whether the model ended the answer itself.</param>
public sealed record Turn(int Start, int Answer, string User, bool Ended);

/// <summary>Why an answer ended.</summary>
public enum AnswerEnd
{
    /// <summary>The model said BOS or EOS, or a stop string.</summary>
    Model,

    /// <summary>It is as long as was allowed.</summary>
    Limit,

    /// <summary>The context is full.</summary>
    Context,

    /// <summary>It was cancelled.</summary>
    Cancelled,
}

/// <summary>Turns of a user and a model in one session, and the room that is left for more.</summary>
/// <param name="session">The session; it holds the tokens of <paramref name="turns"/>.</param>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="template">The format of the turns.</param>
/// <param name="system">The system prompt, or empty.</param>
/// <param name="turns">The turns so far.</param>
public sealed class Conversation(Session session, Tokenizer tokenizer, ChatTemplate template, string system = "", IEnumerable<Turn>? turns = null)
{
    private readonly List<Turn> _turns = [.. turns ?? []];

    /// <summary>The session.</summary>
    public Session Session { get; } = session;

    /// <summary>The format of the turns.</summary>
    public ChatTemplate Template { get; } = template;

    /// <summary>The system prompt, or empty.</summary>
    public string System { get; } = system;

    /// <summary>The turns so far.</summary>
    public IReadOnlyList<Turn> Turns => _turns;

    /// <summary>Strings that end an answer, besides the template's.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>The most tokens of an answer.</summary>
    public int MaxAnswer { get; init; } = int.MaxValue;

    /// <summary>Whether the oldest turns make room for new ones where the context is full.</summary>
    public bool DropsOldest { get; init; }

    /// <summary>Told how many turns were dropped and how many tokens of the others have to be read again, before they are.</summary>
    public Action<int, int>? OnDrop { get; init; }

    /// <summary>Tokens that the context can still take.</summary>
    public int Left => SeqLen - Session.Tokens.Length;

    private int SeqLen => Session.Transformer.Config.SeqLen;

    /// <summary>Why the last answer ended.</summary>
    public AnswerEnd End { get; private set; }

    /// <summary>Tokens of the last answer.</summary>
    public int AnswerTokens { get; private set; }

    /// <summary>The tokens that saying this would add before the answer.</summary>
    public int[] Encode(string user) => Encode(user, first: _turns.Count == 0);

    private int[] Encode(string user, bool first) => Template.Encode(tokenizer, user, System, first, first || _turns[^1].Ended);

    /// <summary>
    /// Says something and returns the answer as it comes; read it to its end. What was shown of it is what the model
    /// remembers. If it is cancelled before it begins, nothing was said.
    /// </summary>
    /// <param name="user">What the user says.</param>
    /// <param name="cancellation">Ends the answer after the current token; what there is of it stays.</param>
    /// <exception cref="ContextFullException">There is no room for it and for one token of an answer; nothing was said.</exception>
    public IEnumerable<string> Say(string user, CancellationToken cancellation = default)
    {
        (AnswerTokens, End) = (0, AnswerEnd.Cancelled);
        int[] prompt = Encode(user);
        if (prompt.Length >= Left)
            prompt = DropOldest(keep: 0, user) ? Encode(user) : throw new ContextFullException(SeqLen);
        if (!Feed(prompt, cancellation))
            yield break;
        _turns.Add(new Turn(Session.Tokens.Length - prompt.Length, Session.Tokens.Length, user, Ended: false));

        StoppableText text = new(tokenizer, prompt[^1], Stops.Concat(Template.Stops));
        List<int> begins = []; // where the bytes of each token of the answer begin
        for (End = AnswerEnd.Limit; AnswerTokens < MaxAnswer; AnswerTokens++)
        {
            int next = Session.Sample();
            if (next is Tokenizer.Bos or Tokenizer.Eos)
            {
                End = AnswerEnd.Model;
                break;
            }
            if (Left == 0 && !DropOldest(keep: 1))
            {
                End = AnswerEnd.Context;
                break;
            }
            Session.Feed([next], CancellationToken.None); // what is shown is remembered
            begins.Add(text.BytesSaid);
            if (text.Append(next) is { Length: > 0 } more)
                yield return more;
            if (text.Stopped || cancellation.IsCancellationRequested)
            {
                End = text.Stopped ? AnswerEnd.Model : AnswerEnd.Cancelled;
                AnswerTokens++;
                break;
            }
        }
        if (text.Flush() is { Length: > 0 } rest)
            yield return rest;
        Turn last = _turns[^1];
        if (text.Stopped)
            Session.Truncate(last.Answer + begins.Count(begin => begin < text.BytesShown));
        _turns[^1] = last with { Ended = End == AnswerEnd.Model };
    }

    /// <summary>Takes the last turn back.</summary>
    /// <returns>What the user had said, or null if there is no turn.</returns>
    public string? Undo()
    {
        if (_turns.Count == 0)
            return null;
        Turn last = _turns[^1];
        Session.Truncate(last.Start);
        _turns.RemoveAt(_turns.Count - 1);
        return last.User;
    }

    private bool Feed(int[] tokens, CancellationToken cancellation)
    {
        int length = Session.Tokens.Length;
        try
        {
            Session.Feed(tokens, cancellation);
            return true;
        }
        catch (OperationCanceledException)
        {
            Session.Truncate(length);
            return false;
        }
    }

    /// <summary>Drops as few turns as make room for what the user says next, or for one token; not the newest ones to keep.</summary>
    private bool DropOldest(int keep, string? user = null)
    {
        for (int drop = 1; DropsOldest && drop <= _turns.Count - keep; drop++)
        {
            (List<int> tokens, List<Turn> turns) = Without(drop);
            int room = user is null ? 1 : Encode(user, first: turns.Count == 0).Length + 1;
            if (tokens.Count + room > SeqLen)
                continue;
            OnDrop?.Invoke(drop, tokens.Count);
            Session.Truncate(0);
            Session.Feed(CollectionsMarshal.AsSpan(tokens)); // positions have changed, and with them all keys
            _turns.Clear();
            _turns.AddRange(turns);
            return true;
        }
        return false;
    }

    /// <summary>The conversation as if it had begun with a later turn.</summary>
    private (List<int> Tokens, List<Turn> Turns) Without(int drop)
    {
        List<int> tokens = [];
        List<Turn> turns = [];
        for (int i = drop; i < _turns.Count; i++)
        {
            Turn turn = _turns[i];
            int end = i + 1 < _turns.Count ? _turns[i + 1].Start : Session.Tokens.Length;
            int start = tokens.Count;
            tokens.AddRange(i == drop ? Template.Encode(tokenizer, turn.User, System) : Session.Tokens[turn.Start..turn.Answer]);
            turns.Add(turn with { Start = start, Answer = tokens.Count });
            tokens.AddRange(Session.Tokens[turn.Answer..end]);
        }
        return (tokens, turns);
    }
}
