using System.CommandLine;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Llama2.Cli.Bench;
using Spectre.Console;

namespace Llama2.Cli.Commands;

/// <summary>Measures tok/s of models and implementations on this machine.</summary>
internal sealed class BenchCommand
{
    private const int WidthOfFiles = 160;

    private readonly Argument<string[]> _models = new("model") { Description = "checkpoints, or names of models in weights/; default: the model that ships", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string[]> _shapes = new("--shape") { Description = "a model of random weights: stories15M, stories42M, stories110M or " + string.Join(',', Shape.Fields), HelpName = "shape" };
    private readonly Option<string> _threads = new("--threads") { Description = "numbers of threads, as 1,2,4; default: one for each processor", HelpName = "list" };
    private readonly Option<int?> _steps = new("--steps", "-n") { Description = "tokens of a sample; default: 256, of large models fewer", HelpName = "int" };
    private readonly Option<bool> _quick = new("--quick") { Description = "fewer and shorter samples" };
    private readonly Option<bool> _kernels = new("--kernels") { Description = "each kernel of fast that this machine runs" };
    private readonly Option<string?> _micro = new("--micro") { Description = "single operations at the shapes of stories110M, those whose name, shape or kernel contains the filter", HelpName = "filter", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string[]> _peers = new("--peer") { Description = "NAME=COMMAND: another program, run in turn with ours; the command may hold {model} {tokenizer} {steps} {prompt} {threads}", HelpName = "peer" };
    private readonly Option<string> _pattern = new("--peer-pattern") { Description = "a regular expression whose first group is the tok/s in a peer's output; default: llama2.c's achieved tok/s", HelpName = "regex", DefaultValueFactory = _ => Peer.DefaultPattern };
    private readonly Option<double> _timeout = new("--peer-timeout") { Description = "seconds that a run of a peer may take", HelpName = "seconds", DefaultValueFactory = _ => 120 };
    private readonly Option<string?> _tokenizer = new("--tokenizer", "-z") { Description = "the tokenizer that peers get; default: the model's", HelpName = "file" };
    private readonly Option<bool> _markdown = new("--markdown") { Description = "prints Markdown" };
    private readonly Option<string?> _json = new("--json") { Description = "writes every sample", HelpName = "file" };
    private readonly Option<string?> _svg = new("--svg") { Description = "draws a chart", HelpName = "file" };
    private readonly Option<string?> _readme = new("--readme") { Description = "rewrites the table between the markers of a Markdown file", HelpName = "file" };
    private readonly Option<string?> _compare = new("--compare") { Description = "an earlier --json: prints what is slower or faster, exits 3 on a regression", HelpName = "file" };
    private readonly Option<double> _tolerance = new("--tolerance") { Description = "percent by which a row may be slower than in --compare", HelpName = "percent", DefaultValueFactory = _ => 10 };

    public static void AddTo(Command command)
    {
        BenchCommand bench = new();
        command.Add(bench._models);
        foreach (Option option in (Option[])[bench._shapes, bench._threads, bench._steps, bench._quick, bench._kernels, bench._micro, bench._peers, bench._pattern, bench._timeout,
            bench._tokenizer, bench._markdown, bench._json, bench._svg, bench._readme, bench._compare, bench._tolerance])
        {
            command.Add(option);
        }
        command.SetAction(bench.Run);
    }

    private int Run(ParseResult result)
    {
        BenchOptions options = OptionsOf(result);
        string? readme = result.GetValue(_readme);
        if (readme is not null)
            ReadmeTable.Rewrite(File.ReadAllText(readme), readme, ""); // says now what would be wrong after minutes
        BenchReport? old = ReadOld(result.GetValue(_compare), out bool unreadable);

        using Interrupt interrupt = new();
        BenchRun run = new(options, line => Console.Error.WriteLine("llama2: " + line.ReplaceLineEndings(" ")), interrupt.Token);
        BenchReport report = run.Run();

        Print(report, result.GetValue(_markdown));
        bool regressed = old is not null && PrintComparison(old, report, result.GetValue(_tolerance) / 100);
        if (result.GetValue(_json) is { } json)
            WriteText(json, report.ToJson() + "\n");
        if (result.GetValue(_svg) is { } svg)
            WriteText(svg, BenchChart.Svg(report));
        if (readme is not null)
            WriteText(readme, ReadmeTable.Rewrite(File.ReadAllText(readme), readme, ReadmeTable.Write(report, ChartLink(readme, result.GetValue(_svg)))));
        return run.ExitCode != Program.Success ? run.ExitCode
            : unreadable ? Program.BadFile
            : regressed ? Program.Differs
            : Program.Success;
    }

    private BenchOptions OptionsOf(ParseResult result)
    {
        List<(string, bool)> models = [.. result.GetValue(_models)!.Select(model => (model, false)), .. (result.GetValue(_shapes) ?? []).Select(shape => (shape, true))];
        double seconds = result.GetValue(_timeout);
        if (seconds is not (> 0 and < 1e6))
            throw new UsageException($"--peer-timeout {seconds}: expected seconds above 0");
        if (result.GetValue(_steps) is < 1)
            throw new UsageException("--steps: expected a number above 0");
        if (result.GetValue(_tolerance) is not (>= 0 and < 100))
            throw new UsageException("--tolerance: expected percent from 0 to 100");
        return new BenchOptions
        {
            Models = models.Count > 0 ? models : [(ModelFiles.DefaultCheckpoint, false)],
            Micro = result.GetResult(_micro) is null ? null : result.GetValue(_micro) ?? "",
            Threads = result.GetValue(_threads) is { } list ? ParseThreads(list) : [Environment.ProcessorCount],
            Steps = result.GetValue(_steps),
            Quick = result.GetValue(_quick),
            Kernels = result.GetValue(_kernels),
            Peers = [.. (result.GetValue(_peers) ?? []).Select(peer => Peer.Parse(peer, result.GetValue(_pattern)!, TimeSpan.FromSeconds(seconds)))],
            Tokenizer = result.GetValue(_tokenizer),
            Command = string.Join(' ', result.Tokens.Skip(1).Select(token => Quoted(token.Value))),
        };
    }

    private static int[] ParseThreads(string list) =>
        [.. list.Split(',').Select(number => int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int threads) && threads is >= 1 and <= 1024
            ? threads
            : throw new UsageException($"--threads {list}: expected numbers from 1 to 1024, as 1,2,4")).Distinct()];

    // For people to copy into a shell.
    private static string Quoted(string word) => word.All(c => char.IsAsciiLetterOrDigit(c) || "-_./,=:".Contains(c)) ? word : $"'{word}'";

    private static BenchReport? ReadOld(string? path, out bool unreadable)
    {
        unreadable = false;
        try
        {
            return path is null ? null : BenchReport.Read(path);
        }
        catch (InvalidDataException e)
        {
            Console.Error.WriteLine("llama2: " + e.Message.ReplaceLineEndings(" "));
            unreadable = true;
            return null;
        }
    }

    private static void Print(BenchReport report, bool markdown)
    {
        if (markdown)
            Output.Write(string.Join('\n', BenchTable.Of(report).Select(BenchTable.Markdown)));
        else
            Draw(report);
    }

    // Not inlined, so that Spectre.Console is loaded only where it draws.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Draw(BenchReport report)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect });
        if (Console.IsOutputRedirected)
            console.Profile.Width = WidthOfFiles;
        foreach (TextTable table in BenchTable.Of(report))
            BenchTable.Draw(table, console);
    }

    private static bool PrintComparison(BenchReport old, BenchReport report, double tolerance)
    {
        (IReadOnlyList<string> lines, bool regressed) = Comparison.Describe(old, report, tolerance);
        foreach (string line in lines)
            Output.WriteLine(line);
        return regressed;
    }

    private static string? ChartLink(string readme, string? svg) => svg is null ? null
        : Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(readme))!, Path.GetFullPath(svg)).Replace('\\', '/');

    private static void WriteText(string path, string text) => AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));
}
