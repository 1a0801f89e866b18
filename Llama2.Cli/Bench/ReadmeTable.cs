using System.Text.RegularExpressions;

namespace Llama2.Cli.Bench;

/// <summary>
/// The table of a README, between two markers: one row for each model, in the form in which the Go original
/// (nikolaydubina/llama2.go) presents itself.
/// </summary>
internal static partial class ReadmeTable
{
    public const string Begin = "<!-- bench:begin", End = "<!-- bench:end -->";

    /// <summary>Columns that follow the system, the model and the peers.</summary>
    public static readonly string[] OwnColumns = ["simple", "fast", "fast int8", "prefill"];

    [GeneratedRegex(Begin + ".*?-->.*?" + End, RegexOptions.Singleline)]
    private static partial Regex Section();

    /// <summary>Replaces what is between the markers.</summary>
    /// <exception cref="UsageException">The markers are not there.</exception>
    public static string Rewrite(string readme, string path, string section) => Section().IsMatch(readme)
        ? Section().Replace(readme, _ => section, 1)
        : throw new UsageException($"--readme {path}: there is no {Begin} --> ... {End} to write between");

    /// <summary>The section with its markers.</summary>
    /// <param name="report">What was measured.</param>
    /// <param name="chart">The chart's file, as the README refers to it, or null.</param>
    public static string Write(BenchReport report, string? chart)
    {
        string[] peers = [.. report.Rows.SelectMany(row => row.Peers).Select(peer => peer.Name).Distinct()];
        string[] columns = ["system", "model", .. peers, .. OwnColumns];
        IEnumerable<string> rows = report.Models.Where(model => report.Rows.Any(row => row.Key.Model == model.Name))
            .Select(model => Line([$"{report.Machine.Cpu}, {report.Machine.Cores} cores, {report.Machine.Runtime}", model.Name, .. Numbers(report, model.Name, peers)]));
        return string.Join('\n', [
            $"{Begin} schema={report.Schema} -->",
            Line(columns),
            Line([.. columns.Select((_, i) => i < 2 ? "---" : "--:")]),
            .. rows,
            "",
            (peers.Length > 0 ? $"tok/s, in brackets as a multiple of {peers[0]}; " : "tok/s; ")
                + $"`simple` runs on one thread, the others on {MostThreads(report)}; `prefill` is that of `fast`."
                + " The Go original gives its `simple` as 0.10 and its `fast` as 0.39 of llama2.c.",
            $"Measured by llama2 {report.Program} on {report.Machine.Os} with",
            "",
            "```",
            "llama2 bench " + report.Command,
            "```",
            .. chart is null ? Array.Empty<string>() : ["", $"![decode and prefill in tok/s]({chart})"],
            End]);
    }

    private static int MostThreads(BenchReport report) => report.Rows.Max(row => row.Key.Threads);

    private static IEnumerable<string> Numbers(BenchReport report, string model, string[] peers)
    {
        int threads = MostThreads(report);
        double[] medians = [.. peers.Select(name => Statistics.Median([.. report.Rows
            .Where(row => row.Key.Model == model)
            .SelectMany(row => row.Peers)
            .Where(peer => peer.Name == name && peer.Threads == threads)
            .SelectMany(peer => peer.Samples)]))];
        double reference = medians.FirstOrDefault(double.NaN);
        return [
            .. medians.Select(BenchTable.Number),
            Cell("simple", "float32", Phase.Decode), Cell("fast", "float32", Phase.Decode),
            Cell("fast", "int8", Phase.Decode), Cell("fast", "float32", Phase.Prefill)];

        string Cell(string implementation, string weights, Phase phase)
        {
            // among kernels the default one comes first
            BenchRow? row = report.Rows.FirstOrDefault(row => row.Key.Model == model && row.Key.Implementation == implementation
                && row.Key.Weights == weights && row.Key.Phase == phase && (implementation == "simple" || row.Key.Threads == threads));
            double median = Statistics.Median(row?.Samples ?? []);
            string ratio = phase == Phase.Decode && double.IsFinite(median / reference) ? $" ({BenchTable.Number(median / reference)})" : "";
            return BenchTable.Number(median) + ratio;
        }
    }

    private static string Line(IReadOnlyList<string> cells) => $"| {string.Join(" | ", cells)} |";
}
