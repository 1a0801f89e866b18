namespace Llama2.Simple.Generation.Speculation;

/// <summary>Decides how many drafts each step of a <see cref="Batch"/> verifies, and counts what becomes of them.</summary>
public abstract class DraftPolicy
{
    /// <summary>The most drafts of a sequence in one step.</summary>
    public const int MaxDrafts = 16;

    public long Steps { get; private set; }    // forward passes after the first token, times the sequences in them
    public long Drafted { get; private set; }  // tokens that drafters guessed
    public long Accepted { get; private set; } // and that were right
    public double TokensPerStep => Steps == 0 ? 1 : (double)(Steps + Accepted) / Steps;

    /// <summary>Begins a step.</summary>
    /// <param name="decoding">Sequences in it that have one token to feed.</param>
    /// <param name="prefilling">Sequences that have more.</param>
    protected internal virtual void Begin(int decoding, int prefilling)
    {
    }

    /// <summary>Asks one of the sequence's drafters.</summary>
    /// <param name="sequence">A sequence with one token to feed.</param>
    /// <param name="drafts">Receives the drafts; it is as long as the sequence has use for, perhaps empty.</param>
    /// <returns>How many drafts there are, and the index of their drafter.</returns>
    protected abstract (int Count, int Drafter) Draft(Sequence sequence, Span<int> drafts);

    /// <summary>Called just before and after the forward pass of a step.</summary>
    protected internal virtual void BeginForward()
    {
    }

    /// <inheritdoc cref="BeginForward"/>
    protected internal virtual void EndForward()
    {
    }

    /// <summary>Told of each draft that turned out right or wrong, in order.</summary>
    protected virtual void Verified(int drafter, bool isRight)
    {
    }

    internal (int Count, int Drafter) Ask(Sequence sequence, Span<int> drafts)
    {
        Steps++;
        (int count, int drafter) = Draft(sequence, drafts);
        Drafted += count;
        return (count, drafter);
    }

    internal void Verify(int drafter, bool isRight)
    {
        Accepted += isRight ? 1 : 0;
        Verified(drafter, isRight);
    }
}
