namespace Llama2.Simple.Generation;

/// <summary>Natural logarithms of the probabilities that logits stand for, at temperature 1: l[i] - ln(sum of exp(l[j])).</summary>
public static class LogProbabilities
{
    public static double Of(ReadOnlySpan<float> logits, int token) => logits[token] - LogSumExp(logits);

    // The likeliest tokens, the lower id first where several are equal.
    public static (int Token, double LogProbability)[] Top(ReadOnlySpan<float> logits, int count)
    {
        double sum = LogSumExp(logits);
        float[] l = logits.ToArray();
        return [.. Enumerable.Range(0, l.Length).OrderByDescending(i => l[i]).Take(count).Select(i => (i, l[i] - sum))];
    }

    private static double LogSumExp(ReadOnlySpan<float> logits)
    {
        double max = logits[Sampler.ArgMax(logits)], sum = 0;
        foreach (float logit in logits)
            sum += Math.Exp(logit - max);
        return max + Math.Log(sum);
    }
}
