using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Fast.Engine;

/// <summary>A text to generate.</summary>
/// <param name="Prompt">The tokens to go on from; at least one, at most <see cref="Config.SeqLen"/>.</param>
/// <param name="Sampler">Chooses the tokens; it belongs to the request now.</param>
public sealed record GenerationRequest(IReadOnlyList<int> Prompt, ISampler Sampler)
{
    public IReadOnlyList<LogitFilter> Filters { get; init; } = []; // change the logits, in this order, before the sampler sees them
    public StoppableText? Text { get; init; }                      // makes text of the tokens; null where only tokens matter
    public Func<int, bool> IsEnd { get; init; } = static _ => false;
    public int MaxNewTokens { get; init; } = int.MaxValue;
    public int? TopLogProbs { get; init; }                         // how many likeliest tokens come with each token; null for no logarithms
    public bool PromptLogProbs { get; init; }                      // the same for the tokens of the prompt

    /// <summary>
    /// Only requests of the same key share keys and values of prompts that begin alike; null takes none and leaves none. It changes no
    /// answer, but the time until it begins tells whether someone with the same key has said the same.
    /// </summary>
    public string? CacheKey { get; init; } = "";
}

/// <summary>A token of an answer.</summary>
/// <param name="Token">Its id.</param>
/// <param name="Text">The text that is certain now that it has come, which may be empty.</param>
/// <param name="End">Why the text ended with it; null while it goes on. The model's own end token does not belong to the text.</param>
/// <param name="LogProbs">If they were asked for.</param>
public readonly record struct GeneratedToken(int Token, string Text, TextEnd? End, TokenLogProbs? LogProbs);

/// <summary>Natural logarithms of the model's own probabilities, at temperature 1 and before all filters.</summary>
/// <param name="Token">A token.</param>
/// <param name="LogProb">Its own.</param>
/// <param name="Top">The likeliest tokens' in its place.</param>
public sealed record TokenLogProbs(int Token, double LogProb, IReadOnlyList<(int Token, double LogProb)> Top);
