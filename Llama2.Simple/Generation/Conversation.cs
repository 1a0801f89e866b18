using Llama2.Simple.Generation.Speculation;
using Llama2.Simple.Text;

namespace Llama2.Simple.Generation;

/// <summary>A turn of a <see cref="Conversation"/>.</summary>
/// <param name="Start">The position of its first token.</param>
/// <param name="Answer">The position of the answer's first token.</param>
/// <param name="Ended">Whether the model ended the answer itself.</param>
public sealed record Turn(int Start, int Answer, string User, bool Ended);

/// <summary>Turns of a user and a model in one sequence, and the room that is left for more.</summary>
public sealed class Conversation
{
    private readonly Batch _batch;
    private readonly int _seqLen;
    private readonly ITokenizer _tokenizer;
    private readonly List<Turn> _turns;
    private int? _longestPiece; // in bytes; null until it is wanted

    /// <summary>A conversation, a new one or one to go on with.</summary>
    /// <param name="transformer">The model; it may serve other conversations in turn.</param>
    /// <param name="sequence">Holds the tokens of <paramref name="turns"/>; it belongs to the conversation now.</param>
    /// <param name="template">The format of the turns.</param>
    /// <param name="system">The system prompt, or empty.</param>
    /// <param name="policy">Has the sequence's drafters used; it changes only the time.</param>
    /// <exception cref="ChatTemplateException">The template has no place for a system prompt.</exception>
    public Conversation(
        ITransformer transformer, ITokenizer tokenizer, Sequence sequence, ChatTemplate template, string system = "",
        IEnumerable<Turn>? turns = null, DraftPolicy? policy = null)
    {
        template.CheckSystem(system);
        (_batch, _seqLen, _tokenizer) = (new Batch(transformer, policy), transformer.Config.SeqLen, tokenizer);
        (Sequence, Template, System, _turns) = (sequence, template, system, [.. turns ?? []]);
        sequence.IsEnd = tokenizer.IsEnd;
        sequence.MakeRoom = () => DropOldest(keep: 1); // a shown token is remembered, so it needs a place in the context
    }

    public Sequence Sequence { get; } // all tokens of the turns
    public ChatTemplate Template { get; }
    public string System { get; }     // the system prompt, or empty
    public IReadOnlyList<Turn> Turns => _turns;
    public IReadOnlyList<string> Stops { get; init; } = []; // strings that end an answer, besides the template's
    public int MaxAnswer { get; init; } = int.MaxValue;     // tokens
    public bool DropsOldest { get; init; }                  // whether the oldest turns make room where the context is full
    public Action<int, int>? OnDrop { get; init; }          // called before turns are dropped: how many, and tokens to feed again

    public int Left => _seqLen - Sequence.Tokens.Length; // tokens that the context can still take
    public TextEnd? End => Sequence.End;                 // why the last answer ended; null before the first one
    public int AnswerTokens => Sequence.Sampled - (End == TextEnd.Model ? 1 : 0);

    /// <summary>A lower bound of <see cref="Encode(string)"/>'s tokens, without encoding: none is longer than the longest piece.</summary>
    public int LeastTokens(string user)
    {
        _longestPiece ??= Enumerable.Range(0, _tokenizer.VocabSize).Max(id => _tokenizer.Piece(id).Length);
        return user.Length / Math.Max(_longestPiece.Value, 1); // a char is a byte or more
    }

    /// <summary>The tokens that saying this would add before the answer.</summary>
    public int[] Encode(string user) => Encode(user, first: _turns.Count == 0);

    private int[] Encode(string user, bool first) => Template.Encode(_tokenizer, user, System, first, first || _turns[^1].Ended);

    /// <summary>
    /// Says something and returns the answer as it comes; a reader that stops reading cancels the answer. The model remembers as much of
    /// it as was shown. If it is cancelled before its first token, nothing was said.
    /// </summary>
    /// <exception cref="ContextFullException">There is no room for it and for one token of an answer; nothing was said.</exception>
    public IEnumerable<string> Say(string user, CancellationToken cancellation = default)
    {
        if (LeastTokens(user) >= _seqLen)
            throw new ContextFullException(_seqLen);
        int[] prompt = Encode(user);
        if (prompt.Length >= Left)
            prompt = DropOldest(keep: 0, user) ? Encode(user) : throw new ContextFullException(_seqLen);
        return Answer(user, prompt, cancellation);
    }

    private IEnumerable<string> Answer(string user, int[] prompt, CancellationToken cancellation)
    {
        int start = Sequence.Tokens.Length;
        StoppableText text = new(_tokenizer, prompt[^1], Stops.Concat(Template.Stops));
        Sequence.Append(prompt);
        (Sequence.Text, Sequence.MaxNewTokens) = (text, MaxAnswer);
        _turns.Add(new Turn(start, start + prompt.Length, user, Ended: false));
        try
        {
            foreach (string more in _batch.Run(Sequence, cancellation))
                yield return more;
        }
        finally
        {
            if (Sequence.Sampled == 0)
                Undo();
            else if (End == TextEnd.Stop)
                Sequence.Truncate(_turns[^1].Answer + text.TokensShown);
            if (End is TextEnd.Model or TextEnd.Stop)
                _turns[^1] = _turns[^1] with { Ended = true };
        }
    }

    /// <summary>Takes the last turn back.</summary>
    /// <returns>What the user had said, or null if there is no turn.</returns>
    public string? Undo()
    {
        if (_turns.Count == 0)
            return null;
        Turn last = _turns[^1];
        Sequence.Truncate(last.Start);
        _turns.RemoveAt(_turns.Count - 1);
        return last.User;
    }

    // Drops as few turns as make room for the user's next text, or for one token. The newest ones, as many as keep, stay.
    private bool DropOldest(int keep, string? user = null)
    {
        for (int drop = 1; DropsOldest && drop <= _turns.Count - keep; drop++)
        {
            (List<int> tokens, List<Turn> turns) = Without(drop);
            int room = user is null ? 1 : Encode(user, first: turns.Count == 0).Length + 1;
            if (tokens.Count + room > _seqLen)
                continue;
            OnDrop?.Invoke(drop, tokens.Count);
            Sequence.Replace(tokens);
            _turns.Clear();
            _turns.AddRange(turns);
            return true;
        }
        return false;
    }

    // The conversation as if it had begun with a later turn.
    private (List<int> Tokens, List<Turn> Turns) Without(int drop)
    {
        List<int> tokens = [];
        List<Turn> turns = [];
        for (int i = drop; i < _turns.Count; i++)
        {
            Turn turn = _turns[i];
            int end = i + 1 < _turns.Count ? _turns[i + 1].Start : Sequence.Tokens.Length;
            int start = tokens.Count;
            tokens.AddRange(i == drop ? Template.Encode(_tokenizer, turn.User, System) : Sequence.Tokens[turn.Start..turn.Answer]);
            turns.Add(turn with { Start = start, Answer = tokens.Count });
            tokens.AddRange(Sequence.Tokens[turn.Answer..end]);
        }
        return (tokens, turns);
    }
}
