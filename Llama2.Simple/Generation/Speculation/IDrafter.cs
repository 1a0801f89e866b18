namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Guesses the next tokens of a text (speculative decoding, arXiv:2211.17192). Drafts only decide which rows a forward pass computes
/// ahead; each token is still the one that the model's own logits and the sampler's own coin give, so a bad draft costs time and changes
/// nothing. A drafter serves one sequence.
/// </summary>
public interface IDrafter
{
    /// <summary>Whether it drafts at once; the first drafts of one that is not ready take as long as several tokens.</summary>
    bool IsReady => true;

    /// <summary>Guesses the tokens that follow.</summary>
    /// <param name="sequence">
    /// All its tokens but the last are in the cache. A drafter may feed rows to the cache and draw from the sampler: the sequence takes
    /// both back.
    /// </param>
    /// <param name="drafts">Receives the drafts, which are ids of the vocabulary.</param>
    /// <returns>How many there are; none where it has no guess.</returns>
    int Draft(Sequence sequence, Span<int> drafts);
}
