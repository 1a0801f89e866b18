namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Guesses the next tokens of texts (speculative decoding, arXiv:2211.17192). Drafts only decide which rows a forward pass computes
/// ahead; each token is still the one that the model's own logits and the sampler's own coin give, so a bad draft costs time and changes
/// nothing.
/// </summary>
public interface IDrafter
{
    /// <summary>Whether it drafts at once; the first drafts of one that is not ready take as long as several tokens.</summary>
    bool IsReady => true;

    /// <summary>Guesses the tokens that follow; those of all texts of a step that share this drafter, in one call.</summary>
    /// <param name="asked">
    /// Texts whose tokens but the last are in their caches. To each it may add as many drafts as are wanted, or fewer where it has no
    /// guess. It may feed rows to the caches and draw from the samplers: the sequences take both back.
    /// </param>
    void Draft(ReadOnlySpan<Drafts> asked);
}
