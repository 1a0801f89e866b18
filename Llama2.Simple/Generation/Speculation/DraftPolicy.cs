using System.Runtime.InteropServices;

namespace Llama2.Simple.Generation.Speculation;

/// <summary>Decides how many drafts each step of a <see cref="Batch"/> verifies, and counts what becomes of them.</summary>
public abstract class DraftPolicy
{
    /// <summary>The most drafts of a sequence in one step.</summary>
    public const int MaxDrafts = 16;

    private readonly List<Drafts> _texts = []; // of the present step

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

    /// <summary>Asks drafters of these texts, which have one token to feed and use for drafts.</summary>
    protected abstract void Draft(ReadOnlySpan<Drafts> texts);

    /// <summary>Called just before and after the forward pass of a step.</summary>
    protected internal virtual void BeginForward()
    {
    }

    /// <inheritdoc cref="BeginForward"/>
    protected internal virtual void EndForward()
    {
    }

    /// <summary>Told of each draft that turned out right or wrong, in order.</summary>
    protected virtual void Verified(Sequence sequence, int drafter, bool isRight)
    {
    }

    /// <summary>Asks the drafter of this index of each text for what is wanted, once where texts share it.</summary>
    protected static void Ask(int drafter, ReadOnlySpan<Drafts> texts)
    {
        foreach (Drafts text in texts)
            text.Drafter = drafter;
        foreach (IGrouping<IDrafter, Drafts> shared in texts.ToArray().GroupBy(text => text.Sequence.Drafters[drafter]))
            shared.Key.Draft([.. shared]);
    }

    /// <summary>Has the sequences that are decoding drafted.</summary>
    internal void Draft(IReadOnlyList<Sequence> sequences)
    {
        _texts.Clear();
        foreach (Sequence sequence in sequences)
        {
            if (!sequence.IsDecoding || sequence.Drafters.Count == 0)
                continue;
            Steps++;
            if (sequence.BeginDrafts(this) is { Max: > 0 } text)
                _texts.Add(text);
        }
        if (_texts.Count == 0)
            return;
        try
        {
            Draft(CollectionsMarshal.AsSpan(_texts));
        }
        finally
        {
            foreach (Drafts text in _texts)
            {
                text.Sequence.EndDrafts();
                Drafted += text.Count;
            }
        }
    }

    internal void Verify(Sequence sequence, int drafter, bool isRight)
    {
        Accepted += isRight ? 1 : 0;
        Verified(sequence, drafter, isRight);
    }
}
