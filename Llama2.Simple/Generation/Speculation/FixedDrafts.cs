namespace Llama2.Simple.Generation.Speculation;

/// <summary>Verifies the same number of drafts in each step, those of the first drafter.</summary>
/// <param name="count">0 to <see cref="DraftPolicy.MaxDrafts"/>.</param>
public sealed class FixedDrafts(int count) : DraftPolicy
{
    protected override void Draft(ReadOnlySpan<Drafts> texts)
    {
        foreach (Drafts text in texts)
            text.Wanted = Math.Min(count, text.Max);
        Ask(0, texts);
    }
}
