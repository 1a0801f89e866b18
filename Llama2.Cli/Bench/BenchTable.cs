using System.Globalization;

namespace Llama2.Cli.Bench;

/// <summary>A table in Markdown whose columns line up, so that it reads as well on a terminal.</summary>
/// <param name="TextColumns">The first columns are text, aligned to the left; the others are numbers.</param>
internal sealed record TextTable(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows, int TextColumns = 1)
{
    /// <summary>The lines of the table, without the last columns where these exceed the width.</summary>
    public IEnumerable<string> Lines(int maxWidth = int.MaxValue)
    {
        string[][] cells = [.. Rows.Prepend(Columns).Select(row => row.Select(cell => cell.Replace("|", "\\|")).ToArray())];
        int[] widths = [.. Columns.Select((_, i) => Math.Max(3, cells.Max(row => row[i].Length)))];
        int shown = widths.Length;
        while (shown > 1 && widths.Take(shown).Sum(width => width + 3) + 1 > maxWidth)
            shown--;
        string[] rule = [.. widths.Select((width, i) => i < TextColumns ? new string('-', width) : new string('-', width - 1) + ":")];
        string[][] all = [cells[0], rule, .. cells[1..]];
        return all.Select(row => $"| {string.Join(" | ", row.Take(shown).Select(Padded))} |");

        string Padded(string cell, int column) => column < TextColumns ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]);
    }
}

/// <summary>The tables that bench prints: one for each model and phase.</summary>
internal static class BenchTable
{
    public static IEnumerable<(string Title, TextTable Table)> Of(BenchReport report) =>
        from row in report.Rows
        group row by (row.Key.Model, row.Key.Phase, row.Tokens) into rows
        let title = $"{rows.Key.Model}, {RowKey.InWords(rows.Key.Phase)} of {rows.Key.Tokens} tokens"
        select (title, Of([.. rows], rows.Key.Phase == Phase.Decode));

    private static TextTable Of(BenchRow[] rows, bool isDecode)
    {
        string[] references = [.. rows.Where(row => row.IsPeer).Select(row => row.Key.Name).Distinct().Prepend("simple")];
        string[] bandwidth = isDecode ? ["GB/s", "of read"] : [];
        return new TextTable(
            ["implementation", "threads", "tok/s", "spread", .. references.Select(name => "x " + name), .. bandwidth],
            [.. rows.Select(row => (string[])[
                row.Key.Name, $"{row.Key.Threads}", row.Samples.Count == 0 ? "failed" : Number(row.Median), Percent(row.Spread),
                .. references.Select(name => Number(row.Median / MedianOf(rows, name, row.Key.Threads))),
                .. bandwidth.Select((_, i) => i == 0 ? Number(row.Bandwidth) : Percent(row.Bandwidth / row.ReadBandwidth))])]);
    }

    /// <summary>The median of the row of that name with as many threads; if there is none, of the one with the most threads.</summary>
    public static double MedianOf(IEnumerable<BenchRow> rows, string name, int threads) => rows
        .Where(row => row.Key.Name == name).MaxBy(row => row.Key.Threads == threads ? int.MaxValue : row.Key.Threads)?.Median ?? double.NaN;

    /// <summary>At least three significant digits, with thousands separators; "-" for NaN.</summary>
    public static string Number(double value) => !double.IsFinite(value) ? "-"
        : value.ToString(value switch { >= 99.95 => "N0", >= 9.995 => "N1", _ => "N2" }, CultureInfo.InvariantCulture);

    private static string Percent(double? fraction) => fraction is { } value && double.IsFinite(value) ? $"{100 * value:0}%" : "-";
}
