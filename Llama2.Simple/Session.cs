using System.Runtime.InteropServices;

namespace Llama2.Simple;

/// <summary>Sees the logits after one token, before temperature: (vocab_size,).</summary>
public delegate void LogitsVisitor(ReadOnlySpan<float> logits);

/// <summary>One conversation with a model: the tokens so far, their keys and values, and the logits of what comes next.</summary>
/// <param name="transformer">The model; it may serve other sessions in turn.</param>
/// <param name="sampler">Chooses the tokens of this session.</param>
/// <param name="cache">Keys and values of an earlier session to go on with; an empty one if null.</param>
/// <param name="tokens">The tokens in that cache.</param>
public sealed class Session(ITransformer transformer, Sampler sampler, KvCache? cache = null, int[]? tokens = null)
{
    private readonly List<int> _tokens = [.. Checked(cache, tokens ?? [])];
    private readonly Row[] _row = new Row[1];
    private readonly float[] _embedding = transformer is ILanguageHead ? new float[transformer.Config.Dim] : [];
    private readonly float[] _logits = new float[transformer.Config.VocabSize];
    private readonly float[] _probabilities = new float[transformer.Config.VocabSize];
    private readonly SoftmaxFunction? _softmax = transformer is ILanguageHead head ? head.Softmax : null;
    private ILanguageHead? _classifier; // what makes _logits of _embedding, while that has not been done

    /// <summary>The model.</summary>
    public ITransformer Transformer { get; } = transformer;

    /// <summary>Chooses the tokens.</summary>
    public Sampler Sampler { get; } = sampler;

    /// <summary>Keys and values of all <see cref="Tokens"/>.</summary>
    public KvCache Cache { get; } = cache ?? new KvCache(transformer.Config);

    /// <summary>The tokens fed so far; <see cref="KvCache.Length"/> of them.</summary>
    public ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);

    /// <summary>
    /// The logits after the last token fed: (vocab_size,). A greedy session may compute them only now, so the transformer must
    /// still be there; they are good until the next <see cref="Feed"/>.
    /// </summary>
    public ReadOnlySpan<float> Logits
    {
        get
        {
            _classifier?.Classify(_embedding, _logits);
            _classifier = null;
            return _logits;
        }
    }

    /// <summary>The most tokens fed in one forward pass. More is faster where an implementation reads weights once a pass.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Change the logits before the sampler sees them, in this order; without any, sampling is run.c's.</summary>
    public IReadOnlyList<LogitFilter> Filters { get; init; } = [];

    /// <summary>Sees the logits after every token fed; without it only the last token's are computed.</summary>
    public LogitsVisitor? OnLogits { get; init; }

    /// <summary>Feeds tokens; afterwards <see cref="Logits"/> are those after the last one.</summary>
    /// <param name="tokens">The tokens, at least one.</param>
    /// <param name="cancellation">Looked at between batches; what has been fed by then stays.</param>
    /// <exception cref="ContextFullException">There is no room for all of them; none was fed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An id outside the vocabulary; its batch and those after it were not fed.</exception>
    public void Feed(ReadOnlySpan<int> tokens, CancellationToken cancellation = default)
    {
        Cache.EnsureCapacity(Cache.Length + tokens.Length);
        while (tokens.Length > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = OnLogits is null ? Math.Min(BatchSize, tokens.Length) : 1;
            FeedBatch(tokens[..count], last: count == tokens.Length);
            tokens = tokens[count..];
        }
    }

    /// <summary>
    /// Feeds tokens to several sessions of one model in one forward pass, which reads the weights once for all of them.
    /// Each session ends up as if it had been fed alone.
    /// </summary>
    /// <param name="parts">Different sessions, and at least one token for each.</param>
    /// <exception cref="ContextFullException">One has no room; none was fed.</exception>
    public static void FeedTogether(IReadOnlyList<(Session Session, int[] Tokens)> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (parts.Count == 0)
            return;
        ITransformer transformer = parts[0].Session.Transformer;
        List<Row> rows = [];
        foreach ((Session session, int[] tokens) in parts)
        {
            rows.AddRange(tokens.Select(token => new Row(token, session.Cache)));
            rows[^1] = rows[^1] with { Want = Want.Logits };
        }
        int vocabSize = transformer.Config.VocabSize;
        float[] logits = new float[checked(parts.Count * vocabSize)];
        transformer.Forward(CollectionsMarshal.AsSpan(rows), logits);
        for (int i = 0; i < parts.Count; i++)
        {
            Session session = parts[i].Session;
            session._tokens.AddRange(parts[i].Tokens);
            logits.AsSpan(i * vocabSize, vocabSize).CopyTo(session._logits);
            session._classifier = null;
        }
    }

    private void FeedBatch(ReadOnlySpan<int> tokens, bool last)
    {
        Row[] rows = tokens.Length == 1 ? _row : new Row[tokens.Length];
        for (int i = 0; i < rows.Length; i++)
            rows[i] = new Row(tokens[i], Cache);
        ILanguageHead? classifier = IsGreedy && OnLogits is null ? Transformer as ILanguageHead : null;
        if (last || OnLogits is not null)
            rows[^1] = rows[^1] with { Want = classifier is null ? Want.Logits : Want.Embedding };
        Transformer.Forward(rows, classifier is null ? _logits : _embedding);
        if (last)
            _classifier = classifier;
        _tokens.AddRange(tokens);
        OnLogits?.Invoke(_logits);
    }

    private bool IsGreedy => Sampler.Temperature == 0 && Filters.Count == 0;

    /// <summary>The next token, the one that <see cref="Logits"/> and the sampler give; it is not fed.</summary>
    public int Sample()
    {
        if (IsGreedy)
            return _classifier?.ArgMax(_embedding) ?? Sampler.ArgMax(_logits);
        Logits.CopyTo(_probabilities);
        foreach (LogitFilter filter in Filters)
            filter(_probabilities, Tokens);
        int next = Sampler.Sample(_probabilities, _softmax);
        // Where rounding leaves the sum of all probabilities below the coin, run.c takes the last token, which a filter may have ruled out.
        while (Filters.Count > 0 && Sampler.Temperature != 0 && _probabilities[next] == 0 && next > 0)
            next--;
        return next;
    }

    /// <summary>Forgets the tokens from <paramref name="length"/> on. The logits are stale until the next <see cref="Feed"/>.</summary>
    public void Truncate(int length)
    {
        Cache.Truncate(length);
        CollectionsMarshal.SetCount(_tokens, length);
    }

    private static int[] Checked(KvCache? cache, int[] tokens) => tokens.Length == (cache?.Length ?? 0)
        ? tokens
        : throw new ArgumentException($"{tokens.Length} tokens for a cache of {cache?.Length ?? 0}", nameof(tokens));
}
