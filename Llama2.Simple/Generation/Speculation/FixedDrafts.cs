namespace Llama2.Simple.Generation.Speculation;

/// <summary>Verifies the same number of drafts in each step, those of the first drafter.</summary>
/// <param name="count">0 to <see cref="DraftPolicy.MaxDrafts"/>.</param>
public sealed class FixedDrafts(int count) : DraftPolicy
{
    protected override (int Count, int Drafter) Draft(Sequence sequence, Span<int> drafts) =>
        drafts.Length == 0 ? (0, 0) : (sequence.Drafters[0].Draft(sequence, drafts[..Math.Min(count, drafts.Length)]), 0);
}
