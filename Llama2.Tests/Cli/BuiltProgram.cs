using System.Diagnostics;
using System.Text;

namespace Llama2.Tests.Cli;

/// <summary>The built program run as a process, as a user would run it.</summary>
/// <param name="ExitCode">The process's exit code.</param>
/// <param name="Out">All of stdout.</param>
/// <param name="Err">All of stderr.</param>
internal sealed record BuiltProgram(int ExitCode, string Out, string Err)
{
    /// <summary>The program built in the same configuration as these tests.</summary>
    public static string FilePath { get; } = Path.Combine(Repository.Root, "Llama2.Cli", "bin", Configuration, "net10.0", "llama2.dll");

    /// <summary>A folder that is not there, so that no test finds the models of whoever runs it.</summary>
    public static string NoModels { get; } = Path.Combine(Path.GetTempPath(), "llama2-has-no-models");

    private static string Configuration => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

    /// <summary>Runs the program to its end, without input.</summary>
    public static BuiltProgram Run(params string[] args) => Run(new Setup(), args);

    /// <summary>Runs the program to its end.</summary>
    public static BuiltProgram Run(Setup setup, params string[] args)
    {
        using Process process = Start(setup, args);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(setup.Input);
        process.StandardInput.Close();
        return new BuiltProgram(ExitCodeOf(process, setup), output.Result, error.Result);
    }

    /// <summary>What a silent run prints, which succeeds without a note.</summary>
    public static string Text(params string[] args) => Succeeded(Run([.. args, "--silent"]));

    /// <summary>What a shell's script prints, in which "$@" is the program.</summary>
    public static string Shell(string script)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        return Succeeded(Run(new Setup { Under = ["bash", "-c", script, "bash"] }));
    }

    /// <summary>The error of a run that prints nothing and ends with this code, without the program's name before it.</summary>
    public static string Error(int exitCode, params string[] args)
    {
        BuiltProgram run = Run(args);
        Assert.Equal((exitCode, ""), (run.ExitCode, run.Out));
        string line = run.Err.TrimEnd('\n').Split('\n')[^1];
        Assert.StartsWith("llama2: ", line, StringComparison.Ordinal);
        return line["llama2: ".Length..];
    }

    /// <summary>Asserts that it printed nothing, ended with this code, and said why in one line, which holds these words.</summary>
    public void AssertFails(int exitCode, string message = "")
    {
        Assert.Equal((exitCode, ""), (ExitCode, Out));
        Assert.Matches("^llama2: [^\\n]*\\n$", Err);
        Assert.Contains(message, Err, StringComparison.Ordinal);
    }

    private static string Succeeded(BuiltProgram run)
    {
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        return run.Out;
    }

    /// <summary>Waits for the end of a program, and kills it if it hangs.</summary>
    public static int ExitCodeOf(Process process, Setup setup)
    {
        if (process.WaitForExit(setup.Timeout))
            return process.ExitCode;
        process.Kill(entireProcessTree: true);
        throw new TimeoutException($"{string.Join(' ', process.StartInfo.ArgumentList)} did not end within {setup.Timeout}");
    }

    /// <summary>Starts the program, its three streams in the caller's hands.</summary>
    public static Process Start(Setup setup, params string[] args)
    {
        UTF8Encoding utf8 = new(encoderShouldEmitUTF8Identifier: false);
        string[] command = [.. setup.Under, "dotnet", FilePath, .. args];
        ProcessStartInfo start = new(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = utf8,
            StandardOutputEncoding = utf8,
            StandardErrorEncoding = utf8,
            WorkingDirectory = setup.WorkingDirectory ?? Repository.Root,
        };
        start.Environment[ModelFolder.Variable] = NoModels;
        foreach ((string name, string? value) in setup.Environment)
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    /// <summary>Presses Ctrl-C.</summary>
    public static void Interrupt(Process process) => Process.Start("kill", ["-INT", $"{process.Id}"]).WaitForExit();

    /// <summary>A shell that lets what runs under it write files of so many kilobytes and no more: a full disk, without one.</summary>
    public static string[] FullDisk(int kilobytes) =>
        ["bash", "-c", $"trap '' XFSZ; export DOTNET_EnableWriteXorExecute=0; ulimit -f {kilobytes}; exec \"$@\"", "bash"];

    /// <summary>What a run is given besides its arguments.</summary>
    internal sealed record Setup
    {
        public string Input { get; init; } = "";

        public string? WorkingDirectory { get; init; }

        /// <summary>A command that runs the command that follows it.</summary>
        public string[] Under { get; init; } = [];

        public Dictionary<string, string?> Environment { get; init; } = [];

        /// <summary>Ends a program that hangs; no test asserts how long one takes.</summary>
        public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(3);
    }
}
