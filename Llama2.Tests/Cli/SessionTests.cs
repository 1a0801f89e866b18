using System.Diagnostics;

namespace Llama2.Tests.Cli;

/// <summary>Sessions in files, through the built program.</summary>
public sealed class SessionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-session-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string At(string name) => Path.Combine(_folder, name);

    private static string Text(params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run([.. args, "--silent"]);
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        return run.Out[..^1];
    }

    [Theory]
    [InlineData("simple")]
    [InlineData("fast")]
    public void A_session_that_goes_on_tells_the_story_of_one_that_never_stopped(string implementation)
    {
        string[] same = ["-s", "7", "-t", "0.8", "--impl", implementation];
        string first = Text([.. same, "-n", "40", "--save-session", At("s")]);
        string second = Text("--impl", implementation, "-n", "60", "--load-session", At("s"), "--save-session", At("t"));
        Assert.Equal(Text([.. same, "-n", "100", "--save-session", At("whole")]), first + second);
        // all but the speed, at 100, and the checksum over it: tokens, keys, values and random numbers
        byte[] whole = File.ReadAllBytes(At("whole")), parts = File.ReadAllBytes(At("t"));
        whole.AsSpan(100, 4).CopyTo(parts.AsSpan(100));
        Assert.Equal(whole[..^32], parts[..^32]);
    }

    [Fact]
    public void Persisting_goes_on_each_time()
    {
        string[] persist = ["--persist-session", At("s"), "-n", "15", "-t", "0.8"];
        string story = Text([.. persist, "-s", "7"]) + Text(persist) + Text(persist);
        Assert.Equal(Text("-s", "7", "-t", "0.8", "-n", "45"), story);
    }

    [Fact]
    public void A_prompt_is_loaded_as_far_as_it_is_the_same_and_its_text_stays_what_it_was()
    {
        Text("-s", "1", "-n", "30", "-i", "Ruby had a big red toy plane. It was", "--save-session", At("s"));
        string[] args = ["-s", "9", "-n", "60", "-i", "Ruby had a big red toy boat."];
        BuiltProgram loaded = BuiltProgram.Run([.. args, "--load-session", At("s")]);
        Assert.Equal(Text(args), loaded.Out[..^1]);
        Assert.Matches(@"session: \d+ of \d+ tokens from .* in [\d.]+ ms; reading them takes [\d.]+ ms at the speed measured when it was saved, so -?[\d.]+ ms are saved", loaded.Err);
        Assert.Matches("prompt: [1-9] tokens", loaded.Err);
    }

    [Fact]
    public void Another_models_or_implementations_session_is_refused()
    {
        Text("-s", "1", "-n", "5", "--save-session", At("s"));
        Refused("fingerprint", "--quantize", "q8_0");
        Refused("implementation", "--impl", "simple");
        if (Repository.HasShared)
            Refused("dim", Repository.Shared("weights", "stories260K.bin"), "-z", Repository.Shared("weights", "tok512.bin"));

        void Refused(string field, params string[] args)
        {
            BuiltProgram run = BuiltProgram.Run([.. args, "--load-session", At("s"), "--silent"]);
            Assert.Equal((2, ""), (run.ExitCode, run.Out));
            Assert.StartsWith($"llama2: {At("s")}: {field}: expected ", run.Err, StringComparison.Ordinal);
            Assert.Single(run.Err.TrimEnd().Split('\n'));
        }
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_2_and_leaves_what_was_there()
    {
        BuiltProgram run = BuiltProgram.Run("-n", "5", "--silent", "--save-session", At("none/s"));
        Assert.Equal((2, ""), (run.ExitCode, run.Out)); // said before the work
        Assert.Contains("none/s: cannot be written: there is no such folder", run.Err, StringComparison.Ordinal);

        Text("-s", "1", "-n", "5", "--save-session", At("s"));
        byte[] before = File.ReadAllBytes(At("s"));
        run = BuiltProgram.Run(new BuiltProgram.Setup { Under = BuiltProgram.FullDisk(64) }, "-s", "1", "-n", "200", "--ignore-eos", "--silent", "--save-session", At("s"));
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith($"llama2: {At("s")}: cannot be written: ", run.Err, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(At("s")));
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Fact]
    public void Ctrl_C_saves_what_there_is()
    {
        using Process process = BuiltProgram.Start(new BuiltProgram.Setup(), "-s", "3", "--ignore-eos", "--impl", "simple", "--save-session", At("s"));
        char[] beginning = new char[20];
        process.StandardOutput.ReadBlock(beginning);
        BuiltProgram.Interrupt(process);
        string first = new string(beginning) + process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)));
        Assert.Equal(130, process.ExitCode);
        string second = Text("--impl", "simple", "--ignore-eos", "--load-session", At("s"));
        Assert.Equal(Text("-s", "3", "--ignore-eos", "--impl", "simple"), first[..^1] + second);
    }

    [Fact]
    public void A_full_context_does_not_go_on()
    {
        Text("-s", "1", "-n", "0", "--ignore-eos", "--save-session", At("s"));
        BuiltProgram run = BuiltProgram.Run("--load-session", At("s"), "--silent");
        Assert.Equal((1, "llama2: the context is full: this model holds 512 tokens\n"), (run.ExitCode, run.Err));
    }

    [Fact]
    public void Options_that_contradict_each_other_are_1()
    {
        BuiltProgram run = BuiltProgram.Run("--persist-session", At("s"), "--load-session", At("s"));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("--persist-session", run.Err, StringComparison.Ordinal);
        Assert.Equal(1, BuiltProgram.Run("-m", "chat", "--save-session", At("s")).ExitCode);
    }
}
