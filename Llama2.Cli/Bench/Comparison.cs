namespace Llama2.Cli.Bench;

internal static class Comparison
{
    /// <summary>
    /// Compares the rows of ours that both reports have. A change counts if it exceeds the noise, which is half of the wider
    /// spread; it is a regression if it is slower by more than the tolerance, a fraction.
    /// </summary>
    public static (IReadOnlyList<string> Lines, bool Regressed) Between(BenchReport old, BenchReport @new, double tolerance)
    {
        var rows = (from now in @new.Rows
                    join then in old.Rows on now.Key equals then.Key
                    where !now.IsPeer && now.Samples.Count > 0 && then.Samples.Count > 0
                    let noise = Math.Max(then.Spread, now.Spread) / 2
                    select (now.Key, Then: then.Median, Now: now.Median, Change: now.Median / then.Median - 1, Noise: noise)).ToArray();
        var changes = rows.Where(row => Math.Abs(row.Change) > row.Noise).ToArray();
        List<string> lines = [.. changes.Select(row =>
            $"{row.Key}: {(row.Change < 0 ? "slower" : "faster")} by {Math.Abs(row.Change):P1}, "
                + $"{row.Then:G4} -> {row.Now:G4} tok/s (noise {row.Noise:P1})")];
        if (old.Machine != @new.Machine)
            lines.Insert(0, $"note: the older report is of another machine: {old.Machine} (now: {@new.Machine})");
        if (changes.Length == 0)
            lines.Add(rows.Length == 0 ? "nothing to compare: no row in common" : $"no change beyond the noise in {rows.Length} rows");
        return (lines, changes.Any(row => -row.Change > tolerance));
    }
}
