using System.Threading.Channels;
using Llama2.Simple.Generation;

namespace Llama2.Fast.Engine;

/// <summary>A text that an engine generates, read token by token as it is made; its counts are final when the last one was read.</summary>
public sealed class Generation
{
    private readonly TextJob _job;

    internal Generation(TextJob job) => _job = job;

    /// <summary>
    /// The tokens as they come; a slow reader delays nobody. Its completion is an <see cref="RequestFailedException"/> or an
    /// <see cref="EngineClosedException"/> where the text has not ended.
    /// </summary>
    public ChannelReader<GeneratedToken> Tokens => _job.Output.Reader;

    /// <summary>The tokens as they come.</summary>
    /// <exception cref="RequestFailedException">It could not be computed.</exception>
    /// <exception cref="EngineClosedException">The engine closed before the end.</exception>
    public IAsyncEnumerable<GeneratedToken> ReadAllAsync(CancellationToken cancellation = default) => Tokens.ReadAllAsync(cancellation);

    public TextEnd? End => _job.Ending;                                        // null while it goes on and where it failed
    public int PromptTokens => _job.PromptTokens;
    public int CachedTokens => _job.CachedTokens;                              // of the prompt, that were not fed again
    public int SampledTokens => _job.SampledTokens;                            // the one that ended the text included
    public IReadOnlyList<TokenLogProbs> PromptLogProbs => _job.PromptLogProbs; // of the prompt's tokens from the second on

    public TimeSpan Queued => _job.Queued;
    public TimeSpan Prefill => _job.Prefill;                                   // from there to the first token
    public TimeSpan Decode => _job.Decode;                                     // from there to the end
}
