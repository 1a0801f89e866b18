using System.Threading.Channels;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Speculation;

namespace Llama2.Fast.Engine;

/// <summary>A text in the engine: a sequence in its batch.</summary>
internal sealed class TextJob : Job
{
    private readonly GenerationRequest _request;
    private readonly GuardedSampler _guard;
    private readonly Func<IReadOnlyList<IDrafter>> _newDrafters;
    private readonly List<TokenLogProbs> _promptLogProbs = [];
    private readonly List<GeneratedToken> _taken = []; // in the present step
    private Sequence? _sequence;

    public TextJob(Config config, GenerationRequest request, Func<IReadOnlyList<IDrafter>> newDrafters, CancellationToken cancellation)
        : base(config, request.Prompt, cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(request.MaxNewTokens, nameof(request));
        (_request, _newDrafters) = (request, newDrafters);
        _guard = new GuardedSampler(request.Sampler);
    }

    public Channel<GeneratedToken> Output { get; } = Channel.CreateUnbounded<GeneratedToken>(new() { SingleWriter = true });
    public Sequence Sequence => _sequence!;      // from its start to its end
    public bool IsInBatch { get; set; }
    public TextEnd? Ending { get; private set; } // null while it goes on and where it failed
    public IReadOnlyList<TokenLogProbs> PromptLogProbs => _promptLogProbs;

    public override int FedTokens => _sequence?.Fed ?? 0;
    public string? CacheKey => _request.CacheKey;
    public bool NeedsWholePrompt => _request.PromptLogProbs; // a cache has no logits

    public override void Begin(KvCache? cache, int common)
    {
        base.Begin(cache, common);
        CachedTokens = cache is null ? 0 : Math.Min(common, PromptTokens - 1); // the last token is fed for its logits
        int room = (int)Math.Min(Config.SeqLen, (long)PromptTokens + _request.MaxNewTokens);
        KvCache own = CachedTokens > 0 ? PrefixCache.Copy(Config, cache!, CachedTokens, Math.Min(room, 2 * PromptTokens)) : new(Config);
        _sequence = new Sequence(Config, _guard, own, Prompt)
        {
            Filters = [.. _request.Filters.Select(_guard.Filter)],
            Text = _request.Text,
            IsEnd = _guard.IsEnd(_request.IsEnd),
            MaxNewTokens = _request.MaxNewTokens,
            KeepsLogits = _request.TopLogProbs is not null,
            OnLogits = _request.PromptLogProbs ? AddPromptLogProbs : null,
            OnSampled = AddToken,
            Drafters = _newDrafters(),
        };
    }

    private void AddPromptLogProbs(ReadOnlySpan<float> logits)
    {
        int next = _promptLogProbs.Count + 1;
        if (next < PromptTokens)
            _promptLogProbs.Add(LogProbs(Prompt[next], logits, _request.TopLogProbs ?? 0));
    }

    private void AddToken()
    {
        int token = Sequence.LastSampled;
        TokenLogProbs? logProbs = _request.TopLogProbs is { } top ? LogProbs(token, Sequence.Logits, top) : null;
        _taken.Add(new(token, Sequence.NewText, Sequence.End, logProbs));
    }

    protected override Exception? Failure => _guard.Failure;

    protected override bool TakeResults()
    {
        (SampledTokens, Ending) = (Sequence.Sampled, Sequence.End); // before the tokens are published, so that their reader sees both
        foreach (GeneratedToken token in _taken)
            Output.Writer.TryWrite(token);
        _taken.Clear();
        return Ending is not null;
    }

    public override void End(Exception? error)
    {
        base.End(error);
        if (error is null)
            Ending ??= TextEnd.Cancelled;
        _sequence = null; // frees the KV cache, also where tokens are still to be read
        Output.Writer.TryComplete(error);
    }

    private static TokenLogProbs LogProbs(int token, ReadOnlySpan<float> logits, int top) =>
        new(token, LogProbabilities.Of(logits, token), top == 0 ? [] : LogProbabilities.Top(logits, top));
}
