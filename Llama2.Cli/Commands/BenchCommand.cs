using System.CommandLine;
using System.Globalization;
using System.Text;
using Llama2.Cli.Bench;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Commands;

/// <summary>Measures tok/s of models and implementations on this machine.</summary>
internal static class BenchCommand
{
    public static void AddTo(Command command)
    {
        var models = command.AddArgument<string[]>(
            "model", "checkpoints, or names of models that list shows; default: the one that ships", ArgumentArity.ZeroOrMore);
        var shapes = command.AddOption<string[]>(
            "--shape", "shape", "a model of random weights: stories15M, stories42M, stories110M or " + Shape.Fields);
        var threads = command.AddOption(
            "--threads", "list", "numbers of threads, as 1,2,4; default: one for each processor", () => $"{Environment.ProcessorCount}");
        var steps = command.AddOption<int?>("--steps -n", "int", "tokens of a pass; default: 256, of large models fewer");
        var quick = command.AddFlag("--quick", "fewer and shorter samples");
        var kernels = command.AddFlag("--kernels", "each kernel of fast that this machine runs");
        var micro = command.AddOption<string?>(
            "--micro", "filter", "with dotnet run only: BenchmarkDotNet measures operations of such a name");
        micro.Arity = ArgumentArity.ZeroOrOne;
        var peers = command.AddOption<string[]>("--peer", "peer", "NAME=COMMAND: another program, run in turn with ours; "
            + "the command may hold {model} {gguf} {tokenizer} {steps} {prompt} {threads}");
        var pattern = command.AddOption("--peer-pattern", "regex",
            "its first group is the tok/s in a peer's output; default: that of llama2.c and llama-bench", () => Peer.DefaultPattern);
        var timeout = command.AddOption("--peer-timeout", "seconds", "seconds that a run of a peer may take; default: 120", () => 120.0);
        var tokenizer = command.AddOption<string?>("--tokenizer -z", "file", "the tokenizer that peers get; default: the model's");
        var json = command.AddOption<string?>("--json", "file", "writes every sample");
        var svg = command.AddOption<string?>("--svg", "file", "draws a chart");
        var readme = command.AddOption<string?>("--readme", "file", "rewrites the table between the markers of a Markdown file");
        var compare = command.AddOption<string?>(
            "--compare", "file", "an earlier --json: prints what is slower or faster, exits 3 on a regression");
        var tolerance = command.AddOption(
            "--tolerance", "percent", "percent by which a row may be slower than in --compare; default: 10", () => 10.0);

        command.SetAction(result =>
        {
            if (result.GetResult(micro) is not null)
                return RunMicro(result.GetValue(micro) ?? "", result.GetValue(quick));
            Option<string?>[] files = [tokenizer, json, svg, readme, compare];
            if (files.FirstOrDefault(file => result.GetValue(file) is { } path && !AtomicFile.HasFolder(path)) is { } wrong)
                throw new UsageException($"{wrong.Name} '{result.GetValue(wrong)}': expected a file in a folder that exists");
            UsageException.ThrowIf(result.GetValue(steps) is < 1, "--steps: expected a number above 0");
            double seconds = result.GetValue(timeout), percent = result.GetValue(tolerance);
            UsageException.ThrowIf(seconds is not (> 0 and < 1e6), $"--peer-timeout {seconds}: expected seconds above 0");
            UsageException.ThrowIf(percent is not (>= 0 and < 100), $"--tolerance {percent}: expected percent from 0 to 100");
            (string?, bool)[] tested =
            [
                .. result.GetValue(models)!.Select(model => ((string?)model, false)),
                .. result.GetValue(shapes)!.Select(shape => (shape, true)),
            ];
            BenchOptions options = new(tested.Length > 0 ? tested : [(null, false)],
                ParseThreads(result.GetValue(threads)!), result.GetValue(steps),
                result.GetValue(quick) ? SampleBudget.Quick : SampleBudget.Full, result.GetValue(kernels),
                [.. result.GetValue(peers)!.Select(peer => Peer.Parse(peer, result.GetValue(pattern)!, TimeSpan.FromSeconds(seconds)))],
                result.GetValue(tokenizer), string.Join(' ', result.Tokens.Skip(1).Select(token => Quoted(token.Value))));
            return Run(options, result.GetValue(json), result.GetValue(svg), result.GetValue(readme), result.GetValue(compare), percent);
        });
    }

    private static int Run(BenchOptions options, string? json, string? svg, string? readme, string? compare, double percent)
    {
        if (readme is not null)
            ReadmeTable.Rewrite(Input.ReadString(readme), readme, ""); // fails now and not after minutes of measuring
        BenchReport? old = compare is null ? null : BenchReport.Read(compare);
        using Interrupt interrupt = new();
        BenchRun run = new(options, line => Notes.Write("llama2: " + line.ReplaceLineEndings(" ")), interrupt.Token);
        BenchReport report = run.Run();
        int width = Console.IsOutputRedirected ? int.MaxValue : Tty.Size.Columns;
        foreach ((string title, TextTable table) in BenchTable.Of(report))
            Output.Write($"**{title}**\n\n{string.Join('\n', table.Lines(width))}\n\n");
        (IReadOnlyList<string> changes, bool regressed) = old is null ? ([], false) : Comparison.Between(old, report, percent / 100);
        Output.Write(string.Concat(changes.Select(change => change + "\n")));
        WriteTo(json, _ => report.ToJson() + "\n", interrupt.Token);
        WriteTo(svg, _ => BenchChart.Svg(report), interrupt.Token);
        WriteTo(readme, path => ReadmeTable.Rewrite(Input.ReadString(path), path, ReadmeTable.Write(report, RelativeTo(path, svg))),
            interrupt.Token);
        return run.FailureCode ?? (regressed ? ExitCode.Differs : ExitCode.Success);
    }

    private static int RunMicro(string filter, bool quick) =>
#if MICRO
        Bench.Micro.MicroBenchmarks.Run(filter, quick);
#else
        throw new UsageException("--micro: works only from the sources: dotnet run -c Release --project Llama2.Cli -- bench --micro");
#endif

    private static int[] ParseThreads(string list) => [.. list.Split(',').Select(number =>
        int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int threads) && threads is >= 1 and <= 1024
            ? threads
            : throw new UsageException($"--threads {list}: expected numbers from 1 to 1024, as 1,2,4")).Distinct()];

    private static string Quoted(string word) => word.All(c => char.IsAsciiLetterOrDigit(c) || "-_./,=:".Contains(c)) ? word : $"'{word}'";

    private static string? RelativeTo(string readme, string? svg) => svg is null ? null
        : Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(readme))!, Path.GetFullPath(svg)).Replace('\\', '/');

    private static void WriteTo(string? path, Func<string, string> text, CancellationToken cancellation)
    {
        if (path is not null)
            AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text(path))), cancellation: cancellation);
    }
}
