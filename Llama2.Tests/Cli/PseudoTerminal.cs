using System.Diagnostics;
using System.Text;

namespace Llama2.Tests.Cli;

/// <summary>The built program in a pseudo terminal, as util-linux's script makes one; keys go in, all that is drawn comes out.</summary>
internal sealed class PseudoTerminal : IDisposable
{
    private readonly Process _script;
    private readonly StringBuilder _screen = new();

    /// <summary>Starts a shell's command; in it, llama2 is the built program.</summary>
    public PseudoTerminal(string command, int columns = 80, string? folder = null)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "a pseudo terminal is made with util-linux's script");
        string shell = $"stty rows 24 cols {columns}; llama2() {{ dotnet '{BuiltProgram.FilePath}' \"$@\"; }}; {command}";
        UTF8Encoding utf8 = new(encoderShouldEmitUTF8Identifier: false);
        ProcessStartInfo start = new("script", ["-qec", shell, "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            StandardInputEncoding = utf8,
            StandardOutputEncoding = utf8,
            WorkingDirectory = folder ?? Repository.Root,
        };
        (start.Environment["TERM"], start.Environment["SHELL"]) = ("xterm-256color", "/bin/bash");
        start.Environment[ModelFolder.Variable] = BuiltProgram.NoModels;
        _script = Process.Start(start)!;
    }

    /// <summary>All that was written to the terminal so far, its newlines as "\r\n".</summary>
    public string Screen => _screen.ToString();

    /// <summary>Waits until a text appears after all that was waited for, and presses keys.</summary>
    public PseudoTerminal At(string text, string keys)
    {
        int start = _screen.Length;
        while (!_screen.ToString(start, _screen.Length - start).Contains(text, StringComparison.Ordinal))
        {
            Task<int> next = Task.Run(_script.StandardOutput.Read);
            Assert.True(next.Wait(TimeSpan.FromMinutes(3)) && next.Result >= 0, $"no \"{text}\" in: {Screen[start..]}");
            _screen.Append((char)next.Result);
        }
        _script.StandardInput.Write(keys);
        _script.StandardInput.Flush();
        return this;
    }

    /// <summary>Waits for the end and returns the exit code.</summary>
    public int End()
    {
        Task<string> rest = _script.StandardOutput.ReadToEndAsync();
        int exitCode = BuiltProgram.ExitCodeOf(_script, new BuiltProgram.Setup());
        _screen.Append(rest.Result);
        return exitCode;
    }

    public void Dispose()
    {
        if (!_script.HasExited)
            _script.Kill(entireProcessTree: true);
        _script.Dispose();
    }
}
