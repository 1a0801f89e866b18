using System.Text.RegularExpressions;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Bench;

/// <summary>The table of a README between two markers: a row for each model, as in the Go original (nikolaydubina/llama2.go).</summary>
internal static partial class ReadmeTable
{
    public const string Begin = "<!-- bench:begin", End = "<!-- bench:end -->";

    public static readonly string[] OwnColumns = ["simple", "fast", "fast int8", "prefill"]; // after system, model and peers

    [GeneratedRegex(Begin + ".*?-->.*?" + End, RegexOptions.Singleline)]
    private static partial Regex Section();

    /// <summary>Replaces the text between the markers.</summary>
    /// <exception cref="UsageException">The markers are not there.</exception>
    public static string Rewrite(string readme, string path, string section) => Section().IsMatch(readme)
        ? Section().Replace(readme, _ => section, 1)
        : throw new UsageException($"--readme {path}: there is no {Begin} --> ... {End} to write between");

    /// <summary>The section with its markers; the chart's path is relative to the README.</summary>
    public static string Write(BenchReport report, string? chart)
    {
        string[] peers = [.. report.Rows.Where(row => row.IsPeer).Select(row => row.Key.Name).Distinct()];
        string[] models = [.. report.Rows.Select(row => row.Key.Model).Distinct()];
        int threads = report.Rows.Select(row => row.Key.Threads).DefaultIfEmpty().Max();
        TextTable table = new(["system", "model", .. peers, .. OwnColumns], [.. models.Select(model => (string[])[
            $"{report.Machine.Cpu}, {report.Machine.Cores} cores, {report.Machine.Runtime}", model, .. Numbers(model)])], TextColumns: 2);
        return string.Join('\n', [
            Begin + " -->",
            .. table.Lines(),
            "",
            (peers.Length > 0 ? $"tok/s, in brackets as a multiple of {peers[0]}; " : "tok/s; ")
                + $"`simple` runs on one thread, the others on {threads}; `prefill` is that of `fast`."
                + " The Go original gives its `simple` as 0.10 and its `fast` as 0.39 of llama2.c.",
            $"Measured by llama2 {report.Program} on {report.Machine.Os} with",
            "",
            "```",
            "llama2 bench " + report.Command,
            "```",
            .. chart is null ? Array.Empty<string>() : ["", $"![decode and prefill in tok/s]({chart})"],
            End]);

        string[] Numbers(string model) => [
            .. peers.Select(peer => BenchTable.Number(Rate(model, peer, Phase.Decode))),
            .. OwnColumns[..^1].Select(name => Cell(Rate(model, name, Phase.Decode), Rate(model, peers.FirstOrDefault(""), Phase.Decode))),
            BenchTable.Number(Rate(model, "fast", Phase.Prefill))];

        double Rate(string model, string name, Phase phase) =>
            BenchTable.MedianOf(report.Rows.Where(row => row.Key.Model == model && row.Key.Phase == phase), name, threads);
    }

    private static string Cell(double rate, double reference) =>
        BenchTable.Number(rate) + (double.IsFinite(rate / reference) ? $" ({BenchTable.Number(rate / reference)})" : "");
}
