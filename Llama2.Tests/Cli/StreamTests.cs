using System.Diagnostics;

namespace Llama2.Tests.Cli;

/// <summary>Standard streams that are closed, full or waited for.</summary>
public sealed class StreamTests : FolderTests
{
    public StreamTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");

    private static BuiltProgram.Setup Redirected(string redirection) =>
        new() { Under = ["bash", "-c", $"exec \"$@\" {redirection}", "bash"] };

    [Theory]
    [InlineData("2>/dev/full")]
    [InlineData("2>&-")]
    [InlineData("<&- 2>&-")]
    public void Notes_that_cannot_be_written_change_neither_stdout_nor_the_exit_code(string redirection)
    {
        string story = BuiltProgram.Run("-n", "20", "-s", "5").Out;
        BuiltProgram run = BuiltProgram.Run(Redirected(redirection), "-n", "20", "-s", "5");
        Assert.Equal((0, story), (run.ExitCode, run.Out));
        Assert.Equal(1, BuiltProgram.Run(Redirected(redirection), "--nosuch").ExitCode);
        Assert.Equal(2, BuiltProgram.Run(Redirected(redirection), "/nowhere/model.bin").ExitCode);
        Assert.Equal((2, ""), Exit(BuiltProgram.Run(Redirected(redirection), "--batch", "/nowhere/prompts")));
    }

    [Theory]
    [InlineData(">/dev/full", "-n", "5")]
    [InlineData(">/dev/full", "tokenize", "Hello")]
    [InlineData(">/dev/full", "--help")]
    [InlineData(">&-", "-n", "5")]
    [InlineData(">&-", "inspect")]
    [InlineData("<&- >&-", "detokenize", "1", "300")]
    public void A_stdout_that_cannot_be_written_is_2_in_one_line(string redirection, params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run(Redirected(redirection), args);
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith("llama2: stdout: cannot be written: ", run.Err.Split('\n')[^2], StringComparison.Ordinal);
        Assert.Single(run.Err.Split('\n'), line => line.StartsWith("llama2: ", StringComparison.Ordinal));
    }

    [Fact]
    public void A_reader_that_has_gone_ends_the_work_at_once_and_quietly()
    {
        string prompts = At("prompts");
        File.WriteAllLines(prompts, Enumerable.Repeat("""{"prompt": "Tom"}""", 100_000));
        foreach (string[] args in (string[][])[["--batch", prompts, "-n", "4"], ["verify"], [EndlessModel.Write(Folder), "--ignore-eos"]])
        {
            BuiltProgram.Setup setup = new();
            using Process process = BuiltProgram.Start(setup, [.. args, .. args[0] == "verify" ? Array.Empty<string>() : ["--silent"]]);
            process.StandardOutput.ReadBlock(new char[10]);
            process.StandardOutput.Close();
            Assert.Equal("", process.StandardError.ReadToEnd());
            Assert.Equal(0, BuiltProgram.ExitCodeOf(process, setup));
        }
    }

    [Fact]
    public void A_reader_that_has_gone_leaves_what_there_is_in_the_session()
    {
        string session = At("session");
        BuiltProgram.Setup setup = new();
        string model = EndlessModel.Write(Folder);
        using Process process = BuiltProgram.Start(setup, model, "--ignore-eos", "--save-session", session, "--silent");
        process.StandardOutput.ReadBlock(new char[10]);
        process.StandardOutput.Close();
        Assert.Equal(0, BuiltProgram.ExitCodeOf(process, setup));
        Assert.True(File.Exists(session));
    }

    [Theory]
    [InlineData(2, ">/dev/full", "-s", "7", "-n", "50")]
    [InlineData(2, ">/dev/full", "chat", "--template", "plain", "-i", "Tom had a dog.", "-s", "7", "-n", "50")]
    [InlineData(2, ">&-", "chat", "--template", "plain", "-i", "Tom had a dog.", "-s", "7", "-n", "50")]
    [InlineData(0, "| head -c 9", "chat", "--template", "plain", "-i", "Tom had a dog.", "-s", "7", "-n", "400", "--ignore-eos")]
    public void A_stdout_that_fails_leaves_what_there_is_in_the_session(int exitCode, string redirection, params string[] args)
    {
        string session = At("session");
        BuiltProgram.Setup fails = new() { Under = ["bash", "-c", $"set -o pipefail; \"$@\" {redirection}", "bash"] };
        Assert.Equal(exitCode, BuiltProgram.Run(fails, [.. args, "--save-session", session]).ExitCode);
        string[] again = args[0] == "chat" ? ["chat"] : ["-n", "5"];
        BuiltProgram run = BuiltProgram.Run([.. again, "--load-session", session]);
        Assert.Equal(0, run.ExitCode);
        Assert.Contains(args[0] == "chat" ? "loaded 1 turn, " : "session: ", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/dev/stdin", "-n", "5")]
    [InlineData("/dev/stdin", "chat")]
    [InlineData("/dev/fd/0", "inspect")]
    [InlineData("/proc/self/fd/0", "verify")]
    [InlineData("/dev/stdin", "bench")]
    [InlineData("/dev/stdin", "serve", "--port", "0")]
    [InlineData("/dev/stdin", "-n", "5", "-z")]
    [InlineData("/dev/fd/0", "tokenize", "Tom", "-z")]
    [InlineData("/dev/stdin", "-n", "5", "--load-session")]
    [InlineData("/dev/fd/0", "chat", "--load-session")]
    public void A_stdin_that_is_closed_is_no_model_tokenizer_or_session(string name, params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run(Redirected("<&-"), [.. args, name]);
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.EndsWith($"llama2: {name}: file: expected a file, found a closed stdin\n", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Once", "--prompt-file", "-")]
    [InlineData("1\n", "tokenize", "-")]
    [InlineData("Once", "--prompt-file", "/dev/stdin")]
    [InlineData("", "--batch", "/dev/fd/0")]
    [InlineData("", "--batch", "-")]
    [InlineData("\n", "detokenize")]
    [InlineData("\n", "detokenize", "-")]
    public void A_stdin_that_is_closed_is_empty(string output, params string[] args)
    {
        string[] greedy = args[0] == "--prompt-file" ? ["-t", "0"] : [];
        BuiltProgram run = BuiltProgram.Run(Redirected("<&-"), [.. args, .. greedy]);
        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith(output, run.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(130, "INT", "--batch", "-")]
    [InlineData(143, "TERM", "--batch", "-")]
    [InlineData(130, "INT", "--prompt-file", "-")]
    [InlineData(143, "TERM", "--prompt-file", "-")]
    [InlineData(143, "TERM", "--prompt-file", "FIFO")]
    [InlineData(130, "INT", "--batch", "FIFO")]
    [InlineData(130, "INT", "perplexity", "tales659K", "-")]
    [InlineData(143, "TERM", "perplexity", "tales659K", "FIFO")]
    [InlineData(143, "TERM", "bench", "FIFO")]
    [InlineData(130, "INT", "bench", "FIFO")]
    [InlineData(143, "TERM", "serve", "--port", "0", "FIFO")]
    public void The_first_signal_ends_a_program_that_waits_for_input(int exitCode, string signal, params string[] args)
    {
        string fifo = At("fifo");
        Process.Start("mkfifo", [fifo]).WaitForExit();
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, [.. args.Select(arg => arg == "FIFO" ? fifo : arg)]);
        process.StandardError.ReadLine(); // the model is loaded
        Thread.Sleep(500); // until it waits; a signal that comes earlier ends it, too
        Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();
        Assert.Equal(exitCode, BuiltProgram.ExitCodeOf(process, setup));
        Assert.Equal("", process.StandardOutput.ReadToEnd());
    }

    [Theory]
    [InlineData(130, "INT", "-n", "3", "--load-session", "FIFO")]
    [InlineData(143, "TERM", "-n", "3", "--load-session", "FIFO")]
    [InlineData(130, "INT", "-n", "3", "--save-session", "FIFO")]
    [InlineData(143, "TERM", "-n", "3", "--save-session", "FIFO")]
    [InlineData(143, "TERM", "-n", "3", "--logits", "FIFO")]
    [InlineData(130, "INT", "-n", "3", "--logits", "FIFO")]
    [InlineData(130, "INT", "chat", "-n", "3", "--load-session", "FIFO")]
    [InlineData(130, "INT", "chat", "-n", "3", "--save-session", "FIFO")]
    [InlineData(143, "TERM", "chat", "-n", "3", "--save-session", "FIFO")]
    [InlineData(143, "TERM", "chat", "-n", "3", "-i", "/load FIFO")]
    [InlineData(130, "INT", "chat", "-n", "3", "-i", "/save FIFO")]
    public void The_first_signal_ends_a_program_that_waits_for_the_other_end_of_a_pipe(int exitCode, string signal, params string[] args)
    {
        string fifo = At("fifo");
        Process.Start("mkfifo", [fifo]).WaitForExit();
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, [.. args.Select(arg => arg.Replace("FIFO", fifo, StringComparison.Ordinal))]);
        if (args[0] == "chat")
            process.StandardInput.WriteLine("Hello\n/save " + fifo);
        process.StandardError.ReadLine(); // the model is loaded
        if (args.Contains("--save-session"))
        {
            process.StandardInput.Close();
            process.StandardOutput.ReadLine(); // the text has ended: what is left is to save it
        }
        Thread.Sleep(500); // until it waits; a signal that comes earlier ends it, too
        Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();
        Assert.Equal(exitCode, BuiltProgram.ExitCodeOf(process, setup));
        Assert.Equal([fifo], Directory.GetFileSystemEntries(Folder));
    }

    [Fact]
    public void SIGTERM_ends_a_story_with_143()
    {
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, EndlessModel.Write(Folder), "--ignore-eos");
        process.StandardOutput.ReadBlock(new char[10]);
        Process.Start("kill", ["-TERM", $"{process.Id}"]).WaitForExit();
        process.StandardOutput.ReadToEnd();
        Assert.Equal(143, BuiltProgram.ExitCodeOf(process, setup));
    }

    private static (int, string) Exit(BuiltProgram run) => (run.ExitCode, run.Out);
}
