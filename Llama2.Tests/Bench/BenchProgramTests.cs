using System.Diagnostics;
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
        BuiltProgram program = Bench("--shape", Tiny, "--threads", "2", "--json", json, "--svg", svg, "--readme", readme);
        Assert.True(program.ExitCode == 0, program.Err);

        BenchReport report = BenchReport.Read(json);
        Assert.Equal(
            ["simple 1 Decode", "simple 1 Prefill", "fast 2 Decode", "fast 2 Prefill", "fast int8 2 Decode", "fast int8 2 Prefill"],
            report.Rows.Select(row => $"{row.Key.Name} {row.Key.Threads} {row.Key.Phase}"));
        Assert.All(report.Rows, row => Assert.Equal(SampleBudget.Quick.Samples, row.Samples.Count));
        Assert.All(report.Rows.Where(row => row.Key.Name != "simple"), row => Assert.Contains(row.Kernel, FastTransformer.KernelNames));
        var tables = BenchTable.Of(report).Select(titled => $"**{titled.Title}**\n\n{string.Join('\n', titled.Table.Lines())}\n\n");
        Assert.Equal(string.Concat(tables), program.Out);
        Assert.Equal(BenchChart.Svg(report), File.ReadAllText(svg));
        Assert.Equal($"before\n{ReadmeTable.Write(report, "chart.svg")}\nafter\n", File.ReadAllText(readme));
        Assert.Equal($"--quick --shape {Tiny} --threads 2 --json {json} --svg {svg} --readme {readme}", report.Command);
        AssertNothingLeft();

        string faster = _folder.File("faster.json");
        BenchRow[] rows = [.. report.Rows.Select(row => row with { Samples = [.. row.Samples.Select(rate => rate * 100)] })];
        File.WriteAllText(faster, (report with { Rows = rows }).ToJson());
        program = Bench("--shape", Tiny, "--threads", "2", "--compare", faster, "--tolerance", "50");
        Assert.Contains("slower by", program.Out);
        Assert.Equal(3, program.ExitCode);
    }

    [Fact]
    public void Each_kernel_is_a_line()
    {
        string json = _folder.File("kernels.json");
        Assert.Equal(0, Bench("--shape", Tiny, "--threads", "1", "--kernels", "--json", json).ExitCode);
        IEnumerable<string> names = BenchReport.Read(json).Rows.Where(row => row.Key.Phase == Phase.Decode).Select(row => row.Key.Name);
        Assert.Equal(FastTransformer.KernelNames.Select(kernel => "fast int8 " + kernel), names.Where(name => name.Contains(" int8 ")));
    }

    [Fact]
    public void BenchmarkDotNet_measures_operations()
    {
        BuiltProgram program = Bench("--micro", "rmsnorm*scalar");
        Assert.Equal(0, program.ExitCode);
        Assert.Matches(@"(?m)^\| RmsNorm +\| scalar +\| +[0-9]", program.Out);
        Assert.DoesNotContain("| SwiGlu", program.Out);
    }

    [Fact]
    public void What_is_wrong_is_said_and_the_rest_is_measured()
    {
        BuiltProgram program = Bench("no-such-model", "--shape", "unknown", "--shape", Tiny, "--peer", "liar=no-such-program {model}");
        Assert.Contains("--shape unknown: expected stories15M", program.Err);
        Assert.Contains("no-such-model: file: expected a file, found nothing there", program.Err);
        Assert.Single(program.Err.Split('\n'), line => line.Contains("liar: "));
        Assert.Contains($"{Tiny} (random weights), prefill of 32 tokens", program.Out);
        Assert.DoesNotContain("   at ", program.Err);
        Assert.Equal(2, program.ExitCode);
        AssertNothingLeft();
    }

    [Theory]
    [InlineData("--compare", "{\"schema\": 0}", 2, "file: not a report of llama2 bench --json: expected schema 2, found 0")]
    [InlineData("--readme", "no markers", 1, "--readme file: there is no <!-- bench:begin --> ... <!-- bench:end --> to write between")]
    public void A_wrong_file_is_refused_before_anything_is_measured(string option, string contents, int exitCode, string message)
    {
        File.WriteAllText(_folder.File("file"), contents);
        BuiltProgram program = Bench("--shape", Tiny, option, "file");
        Assert.Equal((exitCode, "", $"llama2: {message}\n"), (program.ExitCode, program.Out, program.Err));
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
    [InlineData("--json", "")]
    [InlineData("--svg", "")]
    [InlineData("--svg", "no-such-folder/chart.svg")]
    [InlineData("--readme", "")]
    [InlineData("--compare", "")]
    [InlineData("--tokenizer", "")]
    [InlineData("model", "")] // two models, of which one has no name
    public void Bad_usage_exits_with_1(string option, string value)
    {
        BuiltProgram program = Bench(option, value);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains(option, program.Err);
        Assert.DoesNotContain("|", program.Out); // no table
    }

    [Fact]
    public void A_kernel_that_this_machine_has_not_is_bad_usage()
    {
        BuiltProgram.Setup setup = Setup;
        setup.Environment["LLAMA2_KERNEL"] = "abacus";
        BuiltProgram program = BuiltProgram.Run(setup, "bench", "--quick", "--shape", Tiny);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains("no kernel abacus", program.Err);
        AssertNothingLeft();
    }

    [Theory]
    [InlineData("making weights")] // while it writes a checkpoint
    [InlineData("simple, 1 thread, decode")] // while it measures
    public void Ctrl_C_leaves_nothing_behind(string when)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "sends SIGINT with kill");
        using Process process = BuiltProgram.Start(Setup, "bench", "--shape", "stories42M");
        process.StandardInput.Close();
        while (process.StandardError.ReadLine() is { } line && !line.Contains(when))
        {
        }
        BuiltProgram.Interrupt(process);
        Assert.Equal(130, BuiltProgram.ExitCodeOf(process, Setup));
        AssertNothingLeft();
    }

    [Theory]
    [InlineData("--peer", "p=true {gguf}")]
    [InlineData("--peer", "p=true {model}")]
    [InlineData("--shape", "64,64,4,8,8,512,64")]
    public void A_full_disk_is_one_line_and_leaves_nothing_behind(params string[] options)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs ulimit");
        BuiltProgram.Setup full = Setup with { Under = BuiltProgram.FullDisk(64) };
        BuiltProgram program = BuiltProgram.Run(full, ["bench", "--quick", "--threads", "1", "-n", "4", .. options]);
        Assert.Equal((2, ""), (program.ExitCode, program.Out));
        Assert.Contains(": cannot be written: ", program.Err.TrimEnd('\n').Split('\n')[^1]);
        AssertNothingLeft();
    }

    private void AssertNothingLeft() =>
        Assert.Empty(Directory.EnumerateFileSystemEntries(_temporary.Path, "llama2*"));

    public void Dispose()
    {
        _temporary.Dispose();
        _folder.Dispose();
    }
}
