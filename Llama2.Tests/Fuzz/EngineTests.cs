using System.Diagnostics;
using Llama2.Fuzz;
using Llama2.Fuzz.Engine;

namespace Llama2.Tests.Fuzz;

/// <summary>A fuzzer that finds nothing looks just like one that has nothing to find; this one has.</summary>
public sealed class EngineTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    [Fact]
    public void An_exception_a_fault_and_an_endless_loop_are_found_behind_conditions_and_replayed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there are no guard pages on Windows");

        string crash = "", fault = "", timeout = "";
        using (Process fuzzer = Start("Planted", "--seconds", "100", "--seed", "1", "--findings", _folder))
        {
            while (!fuzzer.WaitForExit(100) && (crash == "" || fault == "" || timeout == ""))
            {
                crash = FindingLike("crash-BrokenPromiseException-Planted.Run-*");
                fault = FindingLike("fatal-AccessViolation-Planted.OneTooFar-*");
                timeout = FindingLike("timeout-*");
            }
            fuzzer.Kill(entireProcessTree: true);
        }
        Assert.NotEqual("", crash);
        Assert.NotEqual("", fault);
        Assert.NotEqual("", timeout);

        (int exitCode, string output) = Fuzz("Planted", "--replay", crash);
        Assert.Equal(1, exitCode);
        Assert.Contains("Planted.cs:line", output, StringComparison.Ordinal);

        string padded = Path.Combine(_folder, "padded");
        byte[] data = [.. File.ReadAllBytes(crash), .. new byte[40]];
        BitConverter.TryWriteBytes(data, data.Length);
        File.WriteAllBytes(padded, data);
        (exitCode, output) = Fuzz("Planted", "--minimise", padded);
        Assert.Equal(0, exitCode);
        Assert.StartsWith(Path.GetFileName(crash), output, StringComparison.Ordinal);
    }

    [Fact]
    public void Sound_code_is_tried_and_its_corpus_grows()
    {
        (int exitCode, string output) = Fuzz("TextStream", "--executions", "3000", "--seed", "1", "--findings", _folder);
        Assert.Equal(0, exitCode);
        Assert.Contains("findings 0", output, StringComparison.Ordinal);
        Assert.NotEmpty(Corpus.Files(Path.Combine(_folder, "corpus")));
    }

    [Fact]
    public void Shrinking_keeps_what_matters() =>
        Assert.Equal("\0\0c\0e"u8.ToArray(),
            Minimiser.Shrink([.. "abcdefgh"u8], d => d.Length >= 5 && d[2] == 'c' && d[4] == 'e', tries: 1000));

    private string FindingLike(string pattern) =>
        Directory.Exists(_folder) ? Directory.EnumerateFiles(_folder, pattern).FirstOrDefault("") : "";

    private static (int ExitCode, string Output) Fuzz(params string[] args)
    {
        using Process process = Start(args);
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output);
    }

    private static Process Start(params string[] args) =>
        Process.Start(new ProcessStartInfo("dotnet", [typeof(Target).Assembly.Location, .. args]) { RedirectStandardOutput = true })!;

    public void Dispose()
    {
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }
}
