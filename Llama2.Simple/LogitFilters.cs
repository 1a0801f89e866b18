namespace Llama2.Simple;

/// <summary>Changes the logits before a <see cref="Sampler"/> sees them; negative infinity rules a token out.</summary>
/// <param name="logits">Logits: (vocab_size,), changed in place.</param>
/// <param name="tokens">The tokens of the sequence so far.</param>
public delegate void LogitFilter(Span<float> logits, ReadOnlySpan<int> tokens);

/// <summary>The ways to sample that run.c does not have. Each works on the model's own logits, before the temperature.</summary>
public static class LogitFilters
{
    /// <summary>Adds a value to the logit of each of these tokens; negative infinity rules it out.</summary>
    public static LogitFilter Bias(IReadOnlyCollection<KeyValuePair<int, float>> bias) => (logits, _) =>
    {
        foreach ((int token, float value) in bias)
            logits[token] += value;
    };

    /// <summary>Rules tokens out.</summary>
    public static LogitFilter Without(params int[] ids) => (logits, _) =>
    {
        foreach (int token in ids)
            logits[token] = float.NegativeInfinity;
    };

    /// <summary>
    /// Makes the tokens of the recent past less likely (CTRL, arXiv:1909.05858): a positive logit is divided by the
    /// penalty, a negative one multiplied.
    /// </summary>
    /// <param name="penalty">More than 0; 1 changes nothing.</param>
    /// <param name="lastN">How many of the last tokens count.</param>
    public static LogitFilter RepeatPenalty(float penalty, int lastN)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(penalty);
        ArgumentOutOfRangeException.ThrowIfNegative(lastN);
        return (logits, tokens) =>
        {
            foreach (int token in new HashSet<int>(tokens[^Math.Min(lastN, tokens.Length)..].ToArray()))
                logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
        };
    }

    /// <summary>Keeps the <paramref name="k"/> highest logits; of equal ones those with the lowest ids.</summary>
    public static LogitFilter TopK(int k)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(k, 1);
        return (logits, _) =>
        {
            if (k >= logits.Length)
                return;
            float[] sorted = logits.ToArray();
            Array.Sort(sorted);
            float lowest = sorted[^k];
            int ties = k;
            foreach (float logit in logits)
                ties -= logit > lowest ? 1 : 0;
            foreach (ref float logit in logits)
            {
                if (logit > lowest || (logit == lowest && ties-- > 0))
                    continue;
                logit = float.NegativeInfinity;
            }
        };
    }

    /// <summary>Rules out what is less likely than this fraction of the likeliest token's probability.</summary>
    /// <param name="p">From 0, which rules nothing out, to 1, which leaves the likeliest.</param>
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
