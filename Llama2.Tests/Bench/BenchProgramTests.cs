using System.Diagnostics;
using System.Globalization;
using Llama2.Cli.Bench;
using Llama2.Fast;
using Llama2.Tests.Cli;

namespace Llama2.Tests.Bench;

/// <summary>`llama2 bench` as a user runs it, on shapes that take no time.</summary>
public sealed class BenchProgramTests : IDisposable
{
    private const string Tiny = "16,32,1,2,1,300,32";

    private readonly TestFolder _temporary = new(), _folder = new();

    // Where the program may leave nothing.
    private BuiltProgram.Setup Setup => new()
    {
        Environment = { ["TMPDIR"] = _temporary.Path, ["TMP"] = _temporary.Path, ["TEMP"] = _temporary.Path },
        WorkingDirectory = _folder.Path,
        Timeout = TimeSpan.FromSeconds(120),
    };

    private BuiltProgram Bench(params string[] args) => BuiltProgram.Run(Setup, ["bench", "--quick", .. args]);

    [Fact]
    public void All_outputs_are_of_one_run_and_the_next_one_is_compared_with_it()
    {
        string json = _folder.File("new.json"), svg = _folder.File("chart.svg"), readme = _folder.File("README.md");
        File.WriteAllText(readme, $"before\n{ReadmeTable.Begin} -->\n{ReadmeTable.End}\nafter\n");
        BuiltProgram program = Bench("--shape", Tiny, "--threads", "2", "--markdown", "--json", json, "--svg", svg, "--readme", readme);
        Assert.Equal("", string.Join('\n', program.Err.Split('\n').Where(line => line.Contains("fail", StringComparison.OrdinalIgnoreCase))));
        Assert.Equal(0, program.ExitCode);

        BenchReport report = BenchReport.Read(json);
        Assert.Equal(
            ["simple 1 Decode", "simple 1 Prefill", "fast 2 Decode", "fast 2 Prefill", "fast int8 2 Decode", "fast int8 2 Prefill"],
            report.Rows.Select(row => $"{row.Key.Label} {row.Key.Threads} {row.Key.Phase}"));
        Assert.All(report.Rows, row => Assert.Equal(Effort.Quick.Samples, row.Samples.Count));
        Assert.All(report.Rows.Where(row => row.Key.Implementation == "fast"), row => Assert.Contains(row.Kernel, FastTransformer.KernelNames));
        Assert.Equal(string.Join('\n', BenchTable.Of(report).Select(BenchTable.Markdown)), program.Out);
        Assert.Equal(BenchChart.Svg(report), File.ReadAllText(svg));
        Assert.Equal($"before\n{ReadmeTable.Write(report, "chart.svg")}\nafter\n", File.ReadAllText(readme));
        Assert.Equal($"--quick --shape {Tiny} --threads 2 --markdown --json {json} --svg {svg} --readme {readme}", report.Command);
        AssertNothingLeft();

        string faster = _folder.File("faster.json");
        File.WriteAllText(faster, (report with { Rows = [.. report.Rows.Select(row => row with { Samples = [.. row.Samples.Select(rate => rate * 100)] })] }).ToJson());
        program = Bench("--shape", Tiny, "--threads", "2", "--compare", faster, "--tolerance", "50");
        Assert.Contains("slower by", program.Out, StringComparison.Ordinal);
        Assert.Equal(3, program.ExitCode);
    }

    [Fact]
    public void Each_kernel_is_a_line_and_its_operations_can_be_measured()
    {
        string json = _folder.File("kernels.json");
        Assert.Equal(0, Bench("--shape", Tiny, "--threads", "1", "--kernels", "--json", json).ExitCode);
        IEnumerable<string?> kernels = BenchReport.Read(json).Rows.Where(row => row.Key is { Weights: "int8", Phase: Phase.Decode }).Select(row => row.Key.Kernel);
        Assert.Equal(FastTransformer.KernelNames, kernels);

        BuiltProgram program = Bench("--micro", "rmsnorm", "--json", json);
        Assert.Equal(0, program.ExitCode);
        IReadOnlyList<MicroRow> rows = BenchReport.Read(json).Micro;
        Assert.Equal(["simple", .. FastTransformer.KernelNames], rows.Select(row => row.Kernel));
        Assert.All(rows, row => Assert.True(row is { Error: null, Samples.Count: > 0, Limit: > 0 } && row.Samples.Min() > 0));
        Assert.Contains("rmsnorm", program.Out, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_wrong_is_said_and_the_rest_is_measured()
    {
        string other = _folder.File("other.json");
        File.WriteAllText(other, "{\"schema\": 0}");
        BuiltProgram program = Bench("no-such-model", "--shape", "unknown", "--shape", Tiny, "--peer", "liar=no-such-program {model}", "--compare", other);
        Assert.Contains("--shape unknown: expected stories15M", program.Err, StringComparison.Ordinal);
        Assert.Contains("no-such-model: file: expected a file, found nothing there", program.Err, StringComparison.Ordinal);
        Assert.Single(program.Err.Split('\n'), line => line.Contains("liar: ", StringComparison.Ordinal));
        Assert.Contains("expected schema 1, found 0", program.Err, StringComparison.Ordinal);
        Assert.Contains($"{Tiny} (random weights), prefill of 32 tokens", program.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", program.Err, StringComparison.Ordinal);
        Assert.Equal(2, program.ExitCode);
        AssertNothingLeft();
    }

    [Theory]
    [InlineData("--peer", "nothing")]
    [InlineData("--threads", "0")]
    [InlineData("--threads", "1,x")]
    [InlineData("--steps", "0")]
    [InlineData("--peer-timeout", "-1")]
    [InlineData("--tolerance", "-1")]
    [InlineData("--shape", "unknown")]
    [InlineData("--micro", "no such operation")]
    public void Bad_usage_exits_with_1(string option, string value)
    {
        BuiltProgram program = Bench(option, value);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains(option, program.Err, StringComparison.Ordinal);
    }

    [Fact]
    public void A_kernel_that_this_machine_has_not_is_bad_usage()
    {
        BuiltProgram program = BuiltProgram.Run(Setup with { Environment = new(Setup.Environment) { ["LLAMA2_KERNEL"] = "abacus" } }, "bench", "--quick", "--shape", Tiny);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains("no kernel abacus", program.Err, StringComparison.Ordinal);
        AssertNothingLeft();
    }

    [Fact]
    public void A_readme_without_markers_is_refused_before_anything_is_measured()
    {
        File.WriteAllText(_folder.File("README.md"), "no markers");
        BuiltProgram program = Bench("--readme", "README.md");
        Assert.Equal(1, program.ExitCode);
        Assert.StartsWith("llama2: --readme README.md: there is no <!-- bench:begin", program.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("making weights")] // while it writes a checkpoint
    [InlineData("simple, 1 thread, decode")] // while it measures
    public void Ctrl_C_leaves_nothing_behind(string when)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "sends SIGINT with kill");
        using Process process = BuiltProgram.Start(Setup, "bench", "--shape", "stories42M");
        process.StandardInput.Close();
        while (process.StandardError.ReadLine() is { } line && !line.Contains(when, StringComparison.Ordinal))
        {
        }
        Thread.Sleep(200);
        Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)])!.WaitForExit();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(20)));
        Assert.Equal(130, process.ExitCode);
        AssertNothingLeft();
    }

    private void AssertNothingLeft() =>
        Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(_temporary.Path), entry => Path.GetFileName(entry).StartsWith("llama2", StringComparison.Ordinal));

    public void Dispose()
    {
        _temporary.Dispose();
        _folder.Dispose();
    }
}
