using System.Runtime.InteropServices;
using Llama2.Simple.Generation.Speculation;
using Llama2.Simple.Text;

namespace Llama2.Simple.Generation;

/// <summary>Why a text ended.</summary>
public enum TextEnd
{
    Model,     // the model sampled a token that ends a text
    Stop,      // a stop string occurred
    Length,    // as many tokens were sampled as were allowed
    Context,   // the context is full
    Cancelled, // by the caller
}

/// <summary>Sees the logits after one token, before filters and temperature: (vocab_size,).</summary>
public delegate void LogitsVisitor(ReadOnlySpan<float> logits);

/// <summary>
/// A text in the making: its tokens, of which the first <see cref="Fed"/> are in the cache, the sampler that chooses more, and what ends
/// it. A <see cref="Batch"/> feeds it.
/// </summary>
/// <param name="cache">Keys and values of an earlier sequence to go on with; an empty one if null.</param>
/// <param name="tokens">The tokens in that cache, and perhaps more that follow.</param>
public sealed class Sequence(Config config, ISampler sampler, KvCache? cache = null, IEnumerable<int>? tokens = null)
{
    private readonly List<int> _tokens = Checked(cache, [.. tokens ?? []]);
    private readonly RowsAhead _ahead = new();
    private float[] _logits = [];
    private double _probabilities; // of the tokens sampled, added up

    public ISampler Sampler { get; } = sampler;
    public KvCache Cache { get; } = cache ?? new KvCache(config);

    /// <summary>All tokens of the text. The last one that was sampled is not in the cache until the next step.</summary>
    public ReadOnlySpan<int> Tokens => CollectionsMarshal.AsSpan(_tokens);
    public int Fed => Cache.Length; // tokens that the model has seen

    public IReadOnlyList<LogitFilter> Filters { get; init; } = []; // change the logits, in this order, before the sampler sees them
    public LogitsVisitor? OnLogits { get; init; }                  // sees the logits after every token; else only the last are computed
    public bool KeepsLogits { get; init; }                         // whether Logits is filled; greedy decoding is slower so
    public ReadOnlySpan<float> Logits => _logits;                  // of the last sampled token, before the filters: (vocab_size,)
    public int MaxNewTokens { get; set; } = int.MaxValue;          // to sample before the text ends, from the last Append on
    public IReadOnlyList<IDrafter> Drafters { get; init; } = []; // guess tokens that a step computes ahead; only the time tells
    public StoppableText? Text { get; set; }                       // makes text of the tokens; null where only tokens matter
    internal int DraftsAhead { get; set; }                         // right drafts beyond those that all texts of a batch had
    internal int RightDrafts { get; set; }                         // of the last step
    public Action? OnSampled { get; init; }                        // called after every sampled token, of which a step may take several

    /// <summary>Whether a sampled token ends the text; such a token does not belong to it.</summary>
    public Func<int, bool> IsEnd { get; set; } = static _ => false;

    /// <summary>
    /// Called where a token was sampled but the cache is full: makes room by <see cref="Replace"/>, or returns false to end the text
    /// without that token. If null, the token belongs to the text, which ends after it.
    /// </summary>
    public Func<bool>? MakeRoom { get; set; }

    public string NewText { get; private set; } = ""; // that the last step added
    public int Sampled { get; private set; }          // tokens since the last call of Append, one that ended the text included
    public int LastSampled { get; private set; }      // the last of these
    public TextEnd? End { get; private set; }         // null while the text goes on

    /// <summary>Adds tokens, as a prompt or the next turn of a conversation; the sequence goes on if it had ended.</summary>
    /// <exception cref="ContextFullException">There is no room for all of them; none was added.</exception>
    public void Append(ReadOnlySpan<int> tokens)
    {
        Cache.EnsureCapacity(_tokens.Count + tokens.Length);
        _tokens.AddRange(tokens);
        (Sampled, _probabilities, End, NewText) = (0, 0, null, "");
    }

    /// <summary>Other tokens in place of all so far. Positions change, and with them all keys, so they are fed again.</summary>
    public void Replace(IEnumerable<int> tokens)
    {
        Truncate(0);
        _tokens.AddRange(tokens);
    }

    /// <summary>Forgets the tokens from <paramref name="length"/> on.</summary>
    public void Truncate(int length)
    {
        _ahead.Clear();
        Cache.Truncate(Math.Min(length, Cache.Length));
        CollectionsMarshal.SetCount(_tokens, length);
    }

    public void Finish(TextEnd end) => (End, NewText) = (end, Text?.Flush() ?? "");

    private bool IsGreedy => Sampler.Temperature == 0 && Filters.Count == 0 && !KeepsLogits;
    private Want Wanted => OnLogits is null && IsGreedy ? Want.Token : Want.Logits; // of a row after which a token is sampled

    /// <summary>
    /// Appends the rows that the next forward pass is to feed: of tokens that belong to the text at most <paramref name="max"/>, and
    /// drafts.
    /// </summary>
    internal void AddRows(List<Row> rows, int max)
    {
        int end = Math.Min(_tokens.Count, Fed + max);
        Want last = end < _tokens.Count || MaxNewTokens == 0 ? Want.Nothing : Wanted;
        for (int i = Fed; i < end; i++)
            rows.Add(new Row(_tokens[i], Cache, OnLogits is not null ? Want.Logits : i == end - 1 ? last : Want.Nothing));
        foreach (int draft in _ahead.Tokens)
            rows.Add(new Row(draft, Cache, Wanted));
    }

    /// <summary>Where drafts of the tokens that follow go to, while it is decoding; they are rows of the next step.</summary>
    internal Drafts BeginDrafts(DraftPolicy policy) => _ahead.BeginDrafts(this, Room - 1, policy); // one token comes without drafts

    /// <summary>Tokens that may still be sampled.</summary>
    internal int Room => Math.Min(config.SeqLen - Fed, MaxNewTokens - Sampled);

    /// <summary>Takes back all that drafters did but the drafts.</summary>
    internal void EndDrafts() => _ahead.EndDrafts(this);

    /// <summary>How likely the sampled tokens were on average: where any token would do, even a good drafter guesses few of them.</summary>
    internal double MeanProbability => Sampler.Temperature == 0 ? 1 : _probabilities / Math.Max(1, Sampled);

    /// <summary>Whether one token is to be fed, which was sampled.</summary>
    internal bool IsDecoding => Sampled > 0 && Fed == _tokens.Count - 1;

    /// <summary>
    /// Takes the results of the rows of <see cref="AddRows"/> that are not drafts'; samples a token if all tokens have been fed. The
    /// output must stay as it is while <see cref="TakeAhead"/> is called.
    /// </summary>
    internal void Accept(ReadOnlySpan<Row> rows, Memory<float> output)
    {
        Cache.Truncate(Fed - _ahead.Tokens.Length);
        rows = rows[..^_ahead.Tokens.Length];
        int own = RowChecks.OutputLength(config, rows);
        _ahead.SetOutput(output[own..]);
        See(rows.Length, rows[^1].Want, output.Span[..own]);
    }

    /// <summary>
    /// Takes one more token if the last one was drafted and so has been fed already: all is then as if it had been fed now.
    /// </summary>
    internal bool TakeAhead()
    {
        if (End is not null || _ahead.TakeNext(this) is not { } output)
        {
            _ahead.Clear();
            return false;
        }
        See(1, Wanted, output.Span);
        return true;
    }

    /// <summary>Takes all tokens of drafts that turn out right.</summary>
    internal void TakeAllAhead()
    {
        string text = NewText;
        while (TakeAhead())
            text += NewText;
        NewText = text;
    }

    /// <summary>Forgets drafts that have not been taken.</summary>
    internal void ForgetAhead() => _ahead.Clear();

    private void See(int rows, Want last, Span<float> output)
    {
        NewText = "";
        if (OnLogits is not null)
        {
            for (int i = 0; i < rows; i++)
                OnLogits(output.Slice(i * config.VocabSize, config.VocabSize));
            output = output[((rows - 1) * config.VocabSize)..];
        }
        if (Fed < _tokens.Count)
            return;
        if (MaxNewTokens == 0)
            Finish(TextEnd.Length);
        else
            Take(last == Want.Token ? (int)output[0] : Sample(output));
    }

    private void Take(int token)
    {
        LastSampled = token;
        Sampled++;
        if (IsEnd(token))
        {
            Finish(TextEnd.Model);
        }
        else if (Fed == config.SeqLen && MakeRoom is not null && !MakeRoom())
        {
            Sampled--;
            Finish(TextEnd.Context);
            return;
        }
        else
        {
            _tokens.Add(token);
            string text = Text?.Append(token) ?? "";
            if (Text?.Stopped == true)
                Finish(TextEnd.Stop);
            else if (Sampled == MaxNewTokens)
                Finish(TextEnd.Length);
            else if (_tokens.Count > config.SeqLen)
                Finish(TextEnd.Context);
            NewText = text + NewText;
        }
        OnSampled?.Invoke();
    }

    private int Sample(Span<float> logits)
    {
        if (KeepsLogits)
            logits.CopyTo(_logits.Length > 0 ? _logits : _logits = new float[logits.Length]);
        int next = Sample(logits, Tokens);
        _probabilities += logits[next]; // they are, unless the temperature is 0
        return next;
    }

    /// <summary>The token that filters and sampler give after these.</summary>
    internal int Sample(Span<float> logits, ReadOnlySpan<int> tokens)
    {
        foreach (LogitFilter filter in Filters)
            filter(logits, tokens);
        int next = Sampler.Sample(logits);
        // Where rounding leaves the sum of all probabilities below the coin, run.c takes the last token; a filter may have ruled it out.
        while (Filters.Count > 0 && Sampler.Temperature != 0 && logits[next] == 0 && next > 0)
            next--;
        return next;
    }

    private static List<int> Checked(KvCache? cache, List<int> tokens) => tokens.Count >= (cache?.Length ?? 0)
        ? tokens
        : throw new ArgumentException($"{tokens.Count} tokens for a cache of {cache?.Length}", nameof(tokens));
}
