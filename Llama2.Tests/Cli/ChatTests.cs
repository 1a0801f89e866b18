using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Llama2.Tests.Cli;

/// <summary>The chat of the built program, its lines from a pipe.</summary>
public sealed class ChatTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-chat-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string At(string name) => Path.Combine(_folder, name);

    private static readonly string[] Plain = ["chat", "--template", "plain", "-t", "0.8", "-s", "7", "-n", "25", "--silent"];

    private static BuiltProgram Say(string[] args, params string[] lines) =>
        BuiltProgram.Run(new BuiltProgram.Setup { Input = string.Concat(lines.Select(line => line + "\n")) }, args);

    [Fact]
    public void Each_line_is_answered_and_the_answer_is_all_that_goes_to_stdout()
    {
        BuiltProgram run = Say(Plain, "Tom had a dog.", "", "  ", "The dog was red.");
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        BuiltProgram first = Say(Plain, "Tom had a dog.");
        Assert.StartsWith(first.Out, run.Out, StringComparison.Ordinal);
        Assert.True(run.Out.Length > first.Out.Length + 20);
        Assert.Equal(first.Out, Say([.. Plain, "-i", "Tom had a dog."], "/exit", "never read").Out);
    }

    [Fact]
    public void A_conversation_that_was_saved_goes_on_as_if_it_had_never_stopped()
    {
        BuiltProgram whole = Say(Plain, "Tom had a dog.", "The dog ran.", "Then");
        Assert.Equal(0, whole.ExitCode);

        BuiltProgram saved = Say(Plain, "Tom had a dog.", $"/save {At("s")}", "The dog ran.", $"/load {At("s")}", "The dog ran.", "Then");
        string first = Say(Plain, "Tom had a dog.").Out, second = Say(Plain, "Tom had a dog.", "The dog ran.").Out[first.Length..];
        Assert.Equal(first + second + whole.Out[first.Length..], saved.Out);
        Assert.Contains("saved ", saved.Err, StringComparison.Ordinal);
        Assert.Contains("loaded 1 turns", saved.Err, StringComparison.Ordinal);

        string[] persist = ["chat", "--template", "plain", "-t", "0.8", "-n", "25", "--silent", "--persist-session", At("p")];
        string parts = Say([.. persist, "-s", "7"], "Tom had a dog.").Out + Say(persist, "The dog ran.").Out + Say(persist, "Then").Out;
        Assert.Equal(whole.Out, parts);
    }

    [Fact]
    public void Commands_do_what_help_says()
    {
        BuiltProgram run = Say(Plain, "/help", "/undo", $"/save {At("s")}", "/save", "/nonsense", "Tom had a dog.", "/undo",
            "/system Be kind.", "/params", "/stats", "/reset");
        Assert.Equal(0, run.ExitCode);
        string[] expected = ["/stats ", "there is nothing to take back", "there is nothing to save yet", "/save needs the name of a file",
            "there is no command /nonsense",
            "taken back: Tom had a dog.", "a new conversation with this system prompt", "template plain, temperature 0.8",
                "system prompt: Be kind.", "0 turns, 0 of 512 tokens used", "a new conversation"];
        int at = 0;
        foreach (string text in expected)
        {
            at = run.Err.IndexOf(text, at, StringComparison.Ordinal);
            Assert.True(at >= 0, $"no \"{text}\" in order in:\n{run.Err}");
        }
        Assert.False(File.Exists(At("s")));
    }

    [Fact]
    public void What_cannot_be_loaded_or_saved_is_said_and_the_conversation_goes_on()
    {
        BuiltProgram.Run("-n", "5", "--silent", "--save-session", At("generated"));
        File.WriteAllText(At("text"), new string('x', 200));
        BuiltProgram run = Say(Plain, $"/load {At("none")}", $"/load {At("text")}", $"/load {At("generated")}", "Tom had a dog.",
            $"/save {At("none/s")}", "/stats");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(Say(Plain, "Tom had a dog.").Out, run.Out);
        string[] said = run.Err.TrimEnd().Split('\n');
        string[] expected = [$"{At("none")}: file: ", $"{At("text")}: magic: ", $"{At("generated")}: notes: ",
            $"{At("none/s")}: cannot be written: ", "1 turns, "];
        Assert.Equal(expected.Length, said.Length);
        Assert.All(expected.Zip(said), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));

        run = Say([.. Plain, "--load-session", At("text")], "Hi");
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
    }

    [Fact]
    public void The_end_of_the_context_is_said_before_it_comes_and_never_passed_silently()
    {
        string[] longer = ["chat", "--template", "plain", "-t", "0.8", "-s", "7", "-n", "150", "--ignore-eos", "--silent"];
        BuiltProgram run = Say(longer, "One", "Two", "Three", "Four", "Five", "/stats");
        string[] said = run.Err.TrimEnd().Split('\n');
        Assert.Matches(@"^only \d+ of 512 tokens are left", said[0]);
        Assert.StartsWith("the context is full, and the answer ends here", said[1], StringComparison.Ordinal);
        Assert.Matches(@"^that takes \d+ tokens and the next answer at least one, but 0 of 512 are left: not said", said[2]);
        Assert.StartsWith("4 turns, 512 of 512 tokens used, 0 left", said[3], StringComparison.Ordinal);

        run = Say([.. longer, "--keep"], "One", "Two", "Three", "Four", "Five", "/stats");
        said = run.Err.TrimEnd().Split('\n');
        Assert.Matches(@"^context: 1 oldest turns dropped, reading the other \d+ tokens again$", said[0]);
        Assert.Matches("^3 turns, ", said[^1]);
    }

    [Fact]
    public void Ctrl_C_ends_a_chat_without_a_terminal_and_saves_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends SIGINT");
        string model = EndlessModel.Write(_folder);
        BuiltProgram.Setup setup = new();
        string[] args = ["chat", model, "--template", "plain", "-s", "7", "--ignore-eos", "--persist-session", At("s"), "--silent"];
        using Process process = BuiltProgram.Start(setup, args);
        process.StandardInput.WriteLine("Tom had a dog.");
        process.StandardInput.Flush();
        char[] beginning = new char[20];
        process.StandardOutput.ReadBlock(beginning);
        BuiltProgram.Interrupt(process);
        process.StandardOutput.ReadToEnd();
        Assert.Equal(130, BuiltProgram.ExitCodeOf(process, setup));
        BuiltProgram loaded = Say(["chat", model, "--load-session", At("s"), "--silent"], "/stats");
        Match stats = Regex.Match(loaded.Err, $@"(?m)^1 turns, (\d+) of {EndlessModel.Context} tokens used");
        Assert.True(stats.Success, loaded.Err);
        // it did not go on to the end
        Assert.InRange(int.Parse(stats.Groups[1].Value, CultureInfo.InvariantCulture), 20, EndlessModel.Context - 1);
    }

    [Fact]
    public void Ctrl_C_while_it_waits_for_a_line_leaves()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends SIGINT");
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, "chat", "--silent");
        process.StandardInput.WriteLine("/stats");
        process.StandardInput.Flush();
        Assert.StartsWith("0 turns", process.StandardError.ReadLine(), StringComparison.Ordinal);
        BuiltProgram.Interrupt(process);
        Assert.Equal(130, BuiltProgram.ExitCodeOf(process, setup));
    }

    [Theory]
    [InlineData(1, "--template", "gpt")]
    [InlineData(1, "--keep", "maybe", "x")]
    [InlineData(2, "--load-session", "/nowhere/session")]
    [InlineData(2, "--save-session", "/nowhere/session")]
    [InlineData(2, "nosuchmodel")]
    public void Bad_usage_is_1_and_a_bad_file_2(int exitCode, params string[] args)
    {
        BuiltProgram run = Say(["chat", "--silent", .. args], "Hi");
        Assert.Equal((exitCode, ""), (run.ExitCode, run.Out));
        Assert.StartsWith("llama2: ", run.Err, StringComparison.Ordinal);
        Assert.Single(run.Err.TrimEnd().Split('\n'));
    }
}
