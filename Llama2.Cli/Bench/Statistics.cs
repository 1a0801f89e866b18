namespace Llama2.Cli.Bench;

/// <summary>What is said of a handful of samples.</summary>
internal static class Statistics
{
    /// <summary>A machine whose samples spread wider than this is too noisy to tell anything.</summary>
    public const double Noisy = 0.25;

    /// <summary>The middle sample, or the mean of the middle two; NaN of none.</summary>
    public static double Median(IReadOnlyList<double> samples)
    {
        if (samples.Count == 0)
            return double.NaN;
        double[] sorted = [.. samples.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>How far the best and the worst sample lie apart, as a fraction of the median; NaN of none.</summary>
    public static double Spread(IReadOnlyList<double> samples) =>
        samples.Count == 0 ? double.NaN : (samples.Max() - samples.Min()) / Median(samples);
}
