using System.Globalization;

namespace Llama2.Cli.Bench;

/// <summary>A row of the forward pass that two reports share.</summary>
/// <param name="Key">Which row.</param>
/// <param name="Old">Median tok/s then.</param>
/// <param name="New">Median tok/s now.</param>
/// <param name="Noise">The fraction by which medians may differ for no reason: half of the wider of both spreads.</param>
internal sealed record Change(RowKey Key, double Old, double New, double Noise)
{
    /// <summary>Relative change: above 0 is faster.</summary>
    public double Ratio => New / Old - 1;

    public bool IsBeyondNoise => Math.Abs(Ratio) > Noise;

    /// <summary>Whether this is slower than then by more than the noise and the tolerance, a fraction.</summary>
    public bool IsRegression(double tolerance) => Ratio < 0 && IsBeyondNoise && -Ratio > tolerance;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Key}: {(Ratio < 0 ? "slower" : "faster")} by {Math.Abs(Ratio):P1}, {Old:G4} -> {New:G4} tok/s (noise {Noise:P1})");
}

/// <summary>What became slower or faster since another report.</summary>
internal static class Comparison
{
    /// <summary>The rows that both measured, in the order of the new one.</summary>
    public static IReadOnlyList<Change> Of(BenchReport old, BenchReport @new)
    {
        Dictionary<RowKey, BenchRow> then = old.Rows.Where(row => row.Samples.Count > 0).DistinctBy(row => row.Key).ToDictionary(row => row.Key);
        return [.. from row in @new.Rows
                   where row.Samples.Count > 0 && then.ContainsKey(row.Key)
                   select Between(then[row.Key], row)];
    }

    private static Change Between(BenchRow old, BenchRow @new) => new(
        @new.Key, Statistics.Median(old.Samples), Statistics.Median(@new.Samples),
        Math.Max(Statistics.Spread(old.Samples), Statistics.Spread(@new.Samples)) / 2);

    /// <summary>Lines for a reader, and whether anything regressed past the tolerance.</summary>
    public static (IReadOnlyList<string> Lines, bool Regressed) Describe(BenchReport old, BenchReport @new, double tolerance)
    {
        IReadOnlyList<Change> changes = Of(old, @new);
        List<string> lines = [];
        if (old.Machine != @new.Machine)
            lines.Add($"note: measured on another machine then: {old.Machine} (now: {@new.Machine})");
        lines.AddRange(changes.Where(change => change.IsBeyondNoise).Select(change => change.ToString()));
        if (changes.Count == 0)
            lines.Add("nothing to compare: the reports have no row in common");
        else if (!changes.Any(change => change.IsBeyondNoise))
            lines.Add($"no change beyond the noise in {changes.Count} rows");
        return (lines, changes.Any(change => change.IsRegression(tolerance)));
    }
}
