namespace Llama2.Simple.Generation.Speculation;

/// <summary>What a step guesses of one text.</summary>
/// <param name="max">Drafts that the text has use for.</param>
public sealed class Drafts(Sequence sequence, int max)
{
    private readonly int[] _tokens = new int[DraftPolicy.MaxDrafts];

    public Sequence Sequence => sequence;
    public int Max { get; } = Math.Clamp(max, 0, DraftPolicy.MaxDrafts);
    public int Wanted { get; set; }           // that the drafter is asked for, at most Max
    public int Count { get; private set; }    // that it has given
    public int Drafter { get; internal set; } // which of the sequence's drafters it was; negative for none
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);

    /// <summary>Adds a guess of the token that follows, an id of the vocabulary.</summary>
    /// <exception cref="InvalidOperationException">No more are wanted.</exception>
    public void Add(int token)
    {
        if (Count >= Math.Min(Wanted, Max))
            throw new InvalidOperationException($"more than {Math.Min(Wanted, Max)} drafts");
        _tokens[Count++] = token;
    }
}
