using System.Globalization;
using Spectre.Console;

namespace Llama2.Cli.Bench;

/// <summary>Cells, for whatever draws them. The first column is text, the others are numbers.</summary>
internal sealed record TextTable(string Title, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows);

/// <summary>A report as tables: one for each model and phase.</summary>
internal static class BenchTable
{
    private const string None = "-", Failed = "failed";

    public static IEnumerable<TextTable> Of(BenchReport report) =>
        [.. report.Models.SelectMany(model => Enum.GetValues<Phase>().Select(phase => Of(report, model, phase)).OfType<TextTable>()), .. MicroTable(report)];

    private static TextTable? Of(BenchReport report, BenchModel model, Phase phase)
    {
        BenchRow[] rows = [.. report.Rows.Where(row => row.Key.Model == model.Name && row.Key.Phase == phase)];
        if (rows.Length == 0)
            return null;
        BenchRow? simple = rows.FirstOrDefault(row => row.Key.Implementation == "simple");
        string[] peers = PeersOf(rows);
        bool kernels = rows.Any(row => row.Key.Kernel is not null); // only where they differ
        string[] columns = [
            "implementation", .. kernels ? new[] { "kernel" } : [], "threads", "tok/s", "spread",
            .. phase == Phase.Decode ? new[] { "GB/s", "of read" } : ["GFLOP/s", "of peak"], "x simple", .. peers.Select(peer => "x " + peer)];
        return new TextTable(
            $"{model.Name}, {(phase == Phase.Decode ? "decode" : "prefill")} of {model.Tokens} tokens",
            columns,
            [.. rows.Select(row => Cells(row, simple, peers, kernels)), .. peers.SelectMany(peer => PeerCells(rows, peer, kernels, columns.Length))]);
    }

    private static string[] PeersOf(IEnumerable<BenchRow> rows) => [.. rows.SelectMany(row => row.Peers).Select(peer => peer.Name).Distinct()];

    private static string[] Cells(BenchRow row, BenchRow? simple, string[] peers, bool kernels)
    {
        string[] kernel = kernels ? [row.Key.Kernel ?? None] : [];
        string threads = row.Key.Threads.ToString(CultureInfo.InvariantCulture);
        if (row.Samples.Count == 0)
            return [row.Key.Label, .. kernel, threads, Failed, None, None, None, None, .. peers.Select(_ => None)];
        double median = Statistics.Median(row.Samples);
        return [
            row.Key.Label, .. kernel, threads, Number(median), Percent(Statistics.Spread(row.Samples)),
            Number(row.Rate), Percent(row.Rate / row.Limit), Ratio(median / Statistics.Median(simple?.Samples ?? [])),
            .. peers.Select(name => Ratio(median / Statistics.Median(row.Peers.FirstOrDefault(peer => peer.Name == name)?.Samples ?? [])))];
    }

    // A peer takes turns with several rows; its own line is of all its runs with as many threads.
    private static IEnumerable<string[]> PeerCells(BenchRow[] rows, string name, bool kernels, int columns) =>
        from peer in rows.SelectMany(row => row.Peers)
        where peer.Name == name
        group peer by peer.Threads into runs
        let samples = runs.SelectMany(peer => peer.Samples).ToArray()
        let head = (string[])[name, .. kernels ? new[] { None } : [], runs.Key.ToString(CultureInfo.InvariantCulture)]
        let numbers = (string[])(samples.Length == 0 ? [Failed, None] : [Number(Statistics.Median(samples)), Percent(Statistics.Spread(samples))])
        select (string[])[.. head, .. numbers, .. Enumerable.Repeat(None, columns - head.Length - numbers.Length)];

    private static IEnumerable<TextTable> MicroTable(BenchReport report) =>
        from row in report.Micro
        group row by row.Operation into rows
        select new TextTable(rows.Key, ["shape", "kernel", "rate", "unit", "spread", "of limit"],
            [.. rows.Select(row => new[]
            {
                row.Shape, row.Kernel, Number(Statistics.Median(row.Samples)), row.Unit,
                Percent(Statistics.Spread(row.Samples)), Percent(Statistics.Median(row.Samples) / row.Limit),
            })]);

    /// <summary>Three significant digits, or whole numbers with thousands separators.</summary>
    public static string Number(double value) => !double.IsFinite(value) ? None : value.ToString(
        value switch { >= 99.95 => "N0", >= 9.995 => "N1", _ => "N2" }, CultureInfo.InvariantCulture);

    public static string Ratio(double value) => double.IsFinite(value) ? Number(value) : None;

    private static string Percent(double value) => double.IsFinite(value) ? value.ToString("P0", CultureInfo.InvariantCulture).Replace(" ", "", StringComparison.Ordinal) : None;

    /// <summary>A table in GitHub's Markdown.</summary>
    public static string Markdown(TextTable table)
    {
        string[] lines = [
            Line(table.Columns), Line([.. table.Columns.Select((_, i) => i == 0 ? "---" : "--:")]), .. table.Rows.Select(Line)];
        return $"**{table.Title}**\n\n{string.Join('\n', lines)}\n";

        static string Line(IReadOnlyList<string> cells) => $"| {string.Join(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal)))} |";
    }

    /// <summary>Draws a table on a terminal.</summary>
    public static void Draw(TextTable table, IAnsiConsole console)
    {
        Table drawn = new() { Border = TableBorder.Rounded, Title = new TableTitle(Markup.Escape(table.Title)) };
        foreach ((int i, string column) in table.Columns.Index())
            drawn.AddColumn(new TableColumn(Markup.Escape(column)) { Alignment = i == 0 ? Justify.Left : Justify.Right, NoWrap = true });
        foreach (IReadOnlyList<string> row in table.Rows)
            drawn.AddRow([.. row.Select(Markup.Escape)]);
        console.Write(drawn);
    }
}
