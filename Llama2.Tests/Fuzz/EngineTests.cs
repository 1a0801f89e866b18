using System.Diagnostics;
using Llama2.Fuzz;
using Llama2.Fuzz.Engine;

namespace Llama2.Tests.Fuzz;

/// <summary>A fuzzer that finds nothing looks just like one that has nothing to find; this one has.</summary>
public sealed class EngineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void An_exception_a_fault_and_an_endless_loop_are_found_behind_conditions_and_replayed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there are no guard pages on Windows");

        string crash = "", fault = "", timeout = "";
        using (Process fuzzer = Start("Planted", "--executions", "20000000", "--seed", "2", "--findings", _folder))
        {
            while (!fuzzer.WaitForExit(100) && (crash == "" || fault == "" || timeout == ""))
            {
                crash = FindingLike("crash-BrokenPromiseException-Planted.Run-*");
                fault = FindingLike("fatal-AccessViolation-Planted.OneTooFar-*");
                timeout = FindingLike("timeout-*");
            }
            fuzzer.Kill(entireProcessTree: true);
            fuzzer.WaitForExit();
        }
        Assert.NotEqual("", crash);
        Assert.NotEqual("", fault);
        Assert.NotEqual("", timeout);

        (int exitCode, _, string error) = Fuzz("Planted", "--replay", crash);
        Assert.Equal(1, exitCode);
        Assert.Contains("Planted.cs:line", error, StringComparison.Ordinal);

        string padded = Path.Combine(_folder, "padded");
        byte[] data = [.. File.ReadAllBytes(crash), .. new byte[4]];
        BitConverter.TryWriteBytes(data, data.Length);
        File.WriteAllBytes(padded, data);
        (exitCode, string output, _) = Fuzz("Planted", "--minimise", padded);
        Assert.Equal(0, exitCode);
        Assert.StartsWith(Path.GetFileName(crash), output, StringComparison.Ordinal);
    }

    [Fact]
    public void Sound_code_is_tried_and_its_corpus_grows()
    {
        (int exitCode, string output, _) = Fuzz("TextStream", "--executions", "3000", "--seed", "1", "--findings", _folder);
        Assert.Equal(0, exitCode);
        Assert.Contains("findings 0", output, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.EnumerateFiles(Path.Combine(_folder, "TextStream", "corpus")));
    }

    [Fact]
    public void Shrinking_keeps_what_matters() =>
        Assert.Equal("\0\0c\0e"u8.ToArray(),
            Minimiser.Shrink([.. "abcdefgh"u8], d => d.Length >= 5 && d[2] == 'c' && d[4] == 'e', tries: 1000));

    private string FindingLike(string pattern)
    {
        string folder = Path.Combine(_folder, "Planted");
        return Directory.Exists(folder) ? Directory.EnumerateFiles(folder, pattern).FirstOrDefault("") : "";
    }

    private (int ExitCode, string Output, string Error) Fuzz(params string[] args)
    {
        using Process process = Start(args);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    private Process Start(params string[] args)
    {
        ProcessStartInfo start = new("dotnet", [typeof(Target).Assembly.Location, .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TMPDIR"] = _folder; // where a killed fuzzer leaves its instrumented copy
        return Process.Start(start)!;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
