namespace Llama2.Simple.Generation;

/// <summary>
/// Changes logits (vocab_size,) before a sampler sees them, by the tokens so far; negative infinity rules a token out. It depends on
/// nothing else, since a drafter may ask it about tokens that the text then does not have.
/// </summary>
public delegate void LogitFilter(Span<float> logits, ReadOnlySpan<int> tokens);

/// <summary>The ways to sample that run.c does not have. Each works on the model's own logits, before the temperature.</summary>
public static class LogitFilters
{
    /// <summary>Adds a value to the logit of each of these tokens; negative infinity rules it out.</summary>
    public static LogitFilter Bias(IReadOnlyCollection<KeyValuePair<int, float>> bias)
    {
        KeyValuePair<int, float>[] all = [.. bias];
        return (logits, _) =>
        {
            foreach ((int token, float value) in all)
                logits[token] += value;
        };
    }

    /// <summary>Rules tokens out.</summary>
    public static LogitFilter Without(params int[] ids) => (logits, _) =>
    {
        foreach (int id in ids)
            logits[id] = float.NegativeInfinity;
    };

    /// <summary>
    /// Makes the last <paramref name="lastN"/> tokens less likely (CTRL, arXiv:1909.05858): a positive logit is divided by the penalty,
    /// which is more than 0, and a negative one multiplied.
    /// </summary>
    public static LogitFilter RepeatPenalty(float penalty, int lastN)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(penalty);
        ArgumentOutOfRangeException.ThrowIfNegative(lastN);
        HashSet<int> seen = []; // kept, so that a token allocates nothing
        return (logits, tokens) =>
        {
            seen.Clear();
            foreach (int token in tokens[^Math.Min(lastN, tokens.Length)..])
            {
                if (seen.Add(token))
                    logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
            }
        };
    }

    /// <summary>
    /// Makes the tokens behind the first <paramref name="promptLength"/> less likely, as OpenAI's API defines it: a token that has
    /// occurred c times loses c times the frequency penalty and once the presence penalty. Only the last <paramref name="lastN"/> count.
    /// </summary>
    public static LogitFilter CountPenalties(float frequency, float presence, int promptLength, int lastN = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(lastN);
        Dictionary<int, int> counts = []; // kept, so that a token allocates nothing
        return (logits, tokens) =>
        {
            counts.Clear(); // the last tokens it was asked about may have been drafts
            for (int i = Math.Max(promptLength, tokens.Length - lastN); i < tokens.Length; i++)
                counts[tokens[i]] = counts.GetValueOrDefault(tokens[i]) + 1;
            foreach ((int token, int count) in counts)
                logits[token] -= count * frequency + presence;
        };
    }

    /// <summary>
    /// Keeps the <paramref name="k"/> highest logits; of equal ones those with the lowest ids. NaN is never kept, and where fewer than k
    /// are numbers nothing is.
    /// </summary>
    public static LogitFilter TopK(int k)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(k, 1);
        float[] sorted = []; // kept, so that a token allocates nothing
        return (logits, _) =>
        {
            if (k >= logits.Length)
                return;
            if (sorted.Length != logits.Length)
                sorted = new float[logits.Length];
            logits.CopyTo(sorted);
            Array.Sort(sorted); // NaN first
            float lowest = sorted[^k];
            int ties = k; // how many equal to the lowest stay
            foreach (float logit in logits)
                ties -= logit > lowest ? 1 : 0;
            foreach (ref float logit in logits)
            {
                if (!(logit > lowest || (logit == lowest && ties-- > 0)))
                    logit = float.NegativeInfinity;
            }
        };
    }

    /// <summary>Rules out tokens less likely than a fraction (0 to 1) of the likeliest one's probability.</summary>
    public static LogitFilter MinP(float p)
    {
        if (!(p is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(p), p, "min-p is between 0 and 1");
        return (logits, _) =>
        {
            float lowest = logits[Sampler.ArgMax(logits)] + MathF.Log(p);
            foreach (ref float logit in logits)
            {
                if (logit < lowest)
                    logit = float.NegativeInfinity;
            }
        };
    }
}
