using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Llama2.Tests.Cli;

/// <summary>The chat of the built program, its lines from a pipe.</summary>
public sealed class ChatTests : FolderTests
{
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
        Assert.Contains("loaded 1 turn,", saved.Err, StringComparison.Ordinal);

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
        string[] expected = [$"{At("none")}: file: ", $"{At("text")}: file: ", $"{At("generated")}: notes: ",
            $"{At("none/s")}: cannot be written: ", "1 turn, "];
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
        Assert.Matches(@"^context: 1 oldest turn dropped, reading the other \d+ tokens again$", said[0]);
        Assert.Matches("^3 turns, ", said[^1]);
    }

    [Fact]
    public void Ctrl_C_ends_a_chat_without_a_terminal_and_saves_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends SIGINT");
        string model = EndlessModel.Write(Folder);
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
        Match stats = Regex.Match(loaded.Err, $@"(?m)^1 turn, (\d+) of {EndlessModel.Context} tokens used");
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

    [Fact]
    public void A_message_that_never_fits_is_an_error_for_it_alone()
    {
        string[] keep = [.. Plain, "--keep"];
        string tooLong = string.Concat(Enumerable.Repeat("word ", 600));
        BuiltProgram run = Say(keep, tooLong, "Tom had a dog.", tooLong, "/stats");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(Say(keep, "Tom had a dog.").Out, run.Out);
        string[] said = run.Err.TrimEnd().Split('\n');
        Assert.Equal(3, said.Length);
        Assert.All(said[..2], line => Assert.StartsWith("that does not fit into the context", line, StringComparison.Ordinal));
        Assert.StartsWith("1 turn, ", said[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--keep")]
    [InlineData("--keep", "-i", "LONG")]
    [InlineData("--keep", "--system", "LONG", "-i", "Tom")]
    public void A_conversation_goes_on_behind_what_never_fits(params string[] args)
    {
        string tooLong = string.Concat(Enumerable.Repeat("word ", 600));
        string[] all = [.. Plain, .. args.Select(arg => arg == "LONG" ? tooLong : arg)];
        BuiltProgram run = Say(all, tooLong, "/system", "Tom had a dog.", "/stats");
        Assert.Equal(0, run.ExitCode);
        Assert.EndsWith(Say(Plain, "Tom had a dog.").Out, run.Out, StringComparison.Ordinal);
        Assert.Contains("not said\n", run.Err, StringComparison.Ordinal);
        Assert.StartsWith("1 turn, ", run.Err.TrimEnd().Split('\n')[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_note_has_a_line_of_its_own_even_in_the_middle_of_an_answer()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "a shell joins stdout and stderr, which /proc shows");
        string[] longer = ["chat", "--keep", "--template", "plain", "-t", "0.8", "-s", "7", "-n", "300", "--ignore-eos", "--silent"];
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", "exec \"$@\" 2>&1", "bash"], Input = "One\nTwo\n" };
        BuiltProgram run = BuiltProgram.Run(setup, longer);
        Assert.Matches(@"[^\n]\ncontext: 1 oldest turn dropped, reading the other \d+ tokens? again\n", run.Out);
        string separate = Say(longer, "One", "Two").Out;
        string joined = Regex.Replace(run.Out, @"\n?(context: |only |the context is full)[^\n]*\n", "");
        Assert.Equal(separate.ReplaceLineEndings(""), joined.ReplaceLineEndings(""));
    }

    [Theory]
    [InlineData("achieved tok/s: ", "-n", "20", "-t", "0")]
    [InlineData("prompt: 1 token, ", "-n", "5", "-t", "0", "--json")]
    [InlineData("the conversation ends here: 40 tokens used up", "-m", "chat", "-y", "", "-i", "Tom", "-n", "40", "-t", "0")]
    [InlineData("the context is full, ", "chat", "--template", "plain", "-i", "Tom", "--ignore-eos", "-t", "0", "--silent")]
    [InlineData("llama2: /dev/full: cannot be written: No space left on device\n", "-n", "100", "-t", "0", "--logits", "/dev/full")]
    [InlineData("llama2: LOGITS: cannot be written: ", "-n", "100", "-t", "0", "--logits", "LOGITS")]
    public void A_note_begins_a_line(string note, params string[] args)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "a shell joins stdout and stderr, which /proc shows");
        string[] full = BuiltProgram.FullDisk(64); // for the row of logits, in the middle of its text
        BuiltProgram.Setup joined = new() { Under = [full[0], full[1], full[2] + " 2>&1", full[3]] };
        BuiltProgram run = BuiltProgram.Run(joined, [.. args.Select(arg => arg == "LOGITS" ? At("logits") : arg)]);
        Assert.Equal(args.Contains("--logits") ? 2 : 0, run.ExitCode);
        note = note.Replace("LOGITS", At("logits"), StringComparison.Ordinal);
        Assert.Contains("\n" + note, run.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "token", "0 tokens")]
    [InlineData(1, "token", "1 token")]
    [InlineData(1, "oldest turn", "1 oldest turn")]
    [InlineData(2, "turn", "2 turns")]
    public void One_is_no_plural(int count, string noun, string text) => Assert.Equal(text, Llama2.Cli.Terminal.Notes.Count(count, noun));

    [Fact]
    public void An_option_that_a_loaded_conversation_would_overrule_is_refused()
    {
        string[] begin = ["chat", "-t", "0", "-n", "5", "--silent", "--persist-session", At("s")];
        BuiltProgram first = Say([.. begin, "--template", "plain", "--system", "Be kind."], "Tom");
        Assert.Equal((0, ""), (first.ExitCode, first.Err));
        byte[] saved = File.ReadAllBytes(At("s"));
        foreach (string[] other in (string[][])[["--template", "llama2"], ["--system", "Be short."], ["-y", ""]])
        {
            BuiltProgram run = Say([.. begin, .. other], "Tom");
            Assert.Equal((1, ""), (run.ExitCode, run.Out));
            Assert.StartsWith($"llama2: {other[0].Replace("-y", "--system")}: {At("s")} holds a conversation with ", run.Err,
                StringComparison.Ordinal);
            Assert.Equal(saved, File.ReadAllBytes(At("s")));
        }
        Assert.Equal(0, Say([.. begin, "--template", "plain", "--system", "Be kind."], "Tom").ExitCode);
        Assert.Equal(0, Say(begin, "Tom").ExitCode);
    }

    [Theory]
    [InlineData("a\0b")]
    [InlineData("\0")]
    [InlineData(".")]
    [InlineData("/")]
    [InlineData("/dev/full")]
    [InlineData("/proc/self/nosuch/x")]
    [InlineData("LONG")]
    public void A_name_that_cannot_be_is_one_line_and_the_conversation_stays(string name)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "names of Linux's file system");
        name = name.Replace("LONG", new string('x', 5000), StringComparison.Ordinal);
        BuiltProgram run = Say(Plain, "Tom had a dog.", $"/save {name}", "/stats", $"/load {name}", "/stats");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(Say(Plain, "Tom had a dog.").Out, run.Out);
        string[] said = run.Err.TrimEnd().Split('\n');
        Assert.Equal(4, said.Length);
        Assert.All([said[1], said[3]], line => Assert.StartsWith("1 turn, ", line, StringComparison.Ordinal));
        Assert.All(said, line => Assert.DoesNotContain("Parameter", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("chat")]
    [InlineData("chat --save-session s")]
    [InlineData("-m chat")]
    public void Without_stdin_there_is_no_input(string args)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "what is inherited is seen by a flag of Linux's files");
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", "exec \"$@\" <&-", "bash"], WorkingDirectory = Folder };
        Assert.Equal((0, ""), (BuiltProgram.Run(setup, [.. args.Split(' '), "--silent"]) is var run ? run.ExitCode : 0, run.Err));
        setup = new() { Under = ["bash", "-c", "exec \"$@\" </dev/null", "bash"], WorkingDirectory = Folder };
        Assert.Equal(run.Out, BuiltProgram.Run(setup, [.. args.Split(' '), "--silent"]).Out);
    }

    [Theory]
    [InlineData("INT", "chat", "/stats", "0 turns")]
    [InlineData("TERM", "chat", "/stats", "0 turns")]
    [InlineData("INT", "-m chat", "", "User: ")]
    [InlineData("TERM", "-m chat", "", "User: ")]
    public void A_signal_ends_the_wait_for_a_line(string signal, string args, string line, string shown)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends signals");
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", "exec \"$@\" 2>&1", "bash"] };
        using Process process = BuiltProgram.Start(setup, args.Split(' '));
        process.StandardInput.WriteLine(line);
        process.StandardInput.Flush();
        string seen = "";
        while (!seen.Contains(shown, StringComparison.Ordinal))
            seen += (char)process.StandardOutput.Read();
        Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();
        Assert.InRange(BuiltProgram.ExitCodeOf(process, setup), 130, 143);
    }

    [Theory]
    [InlineData("Tom had a cat\u0017dog.\n", "Tom had a dog.")]
    [InlineData("Tom had 🙂\u007fa dog.\r", "Tom had a dog.")]
    [InlineData("\u001b[200~Tom had\ra dog.\r\u001b[201~\r", "Tom had", "a dog.")]
    [InlineData("Tom had a 日本\u007f\u007fdog.\r", "Tom had a dog.")]
    [InlineData("Tom had dog.\u001bba \r", "Tom had a dog.")]
    [InlineData("Tom had a dog. And\u001bb\u0002\u000b\r", "Tom had a dog.")]
    [InlineData("Tom had a dog.\u001b[A\u001b[B\r", "Tom had a dog.")]
    [InlineData("Ann\u0015Tom had a dog.\u0012x\a\r", "Tom had a dog.")]
    public void Keys_in_a_terminal_edit_one_message(string keys, params string[] lines)
    {
        using PseudoTerminal terminal = new("llama2 chat -n 5 -t 0 --silent");
        int code = terminal.At("> ", keys).At("\n", "").At("> ", "/undo\r").At("taken back: " + lines[0], "").At("> ", "\u0004").End();
        Assert.Equal(0, code);
        Assert.Contains("taken back: " + string.Join("\r\n", lines), terminal.Screen, StringComparison.Ordinal);
    }

    [Fact]
    public void A_line_that_is_no_UTF_8_is_said()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        const string Typed = @"printf 'caf\351\nTom \303\251\n\377\n\355\240\200\n/stats\n' | ""$@""";
        BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { Under = ["bash", "-c", Typed, "bash"] }, Plain);
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(Say(Plain, "caf\ufffd", "Tom \u00e9", "\ufffd", "\ufffd\ufffd\ufffd").Out, run.Out);
        string[] said = run.Err.TrimEnd().Split('\n');
        Assert.All(said[..^1], line => Assert.StartsWith("that line is no UTF-8", line, StringComparison.Ordinal));
        Assert.Equal((4, true), (said.Length, said[^1].StartsWith("4 turns, ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("HUP", 129)]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    public void A_signal_saves_the_conversation(string signal, int exitCode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends signals");
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, [.. Plain, "--persist-session", At("s")]);
        process.StandardInput.Write("Tom had a dog.\n/stats\n");
        process.StandardInput.Flush();
        Assert.StartsWith("1 turn, ", process.StandardError.ReadLine(), StringComparison.Ordinal);
        Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();
        Assert.Equal(exitCode, BuiltProgram.ExitCodeOf(process, setup));
        Assert.Contains("1 turn, ", Say(["chat", "--load-session", At("s"), "--silent"]).Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    public async Task A_signal_while_a_command_waits_for_a_pipe_saves_the_conversation(string signal, int exitCode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        Process.Start("mkfifo", [At("fifo")]).WaitForExit();
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, [.. Plain, "--persist-session", At("s")]);
        process.StandardInput.Write($"Tom had a dog.\n/load {At("fifo")}\n");
        process.StandardInput.Flush();
        using Process writer = BuiltProgram.Start(new() { Under = ["bash", "-c", "exec 3>$0; echo open; sleep 60", At("fifo")] });
        Assert.Equal("open", await writer.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)); // it waits for bytes now
        Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();
        Assert.Equal(exitCode, BuiltProgram.ExitCodeOf(process, setup));
        writer.Kill(entireProcessTree: true);
        Assert.Contains("1 turn, ", Say(["chat", "--load-session", At("s"), "--silent"]).Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "--template", "gpt")]
    [InlineData(1, "--keep", "maybe", "x")]
    [InlineData(2, "--load-session", "/nowhere/session")]
    [InlineData(2, "--save-session", "/nowhere/session")]
    [InlineData(1, "nosuchmodel")]
    public void Bad_usage_is_1_and_a_bad_file_2(int exitCode, params string[] args) =>
        Say(["chat", "--silent", .. args], "Hi").AssertFails(exitCode);

    /// <summary>A GGUF file whose template is chatml's, in a folder of its own.</summary>
    private string ChatMlModel()
    {
        string model = Repository.Shared("formats", "gguf", "rand256-Q4_K_M.gguf");
        Assert.SkipUnless(File.Exists(model), Repository.NoShared);
        File.Copy(model, At("chatml.gguf"));
        return At("chatml.gguf");
    }

    [Fact]
    public void A_gguf_file_chooses_its_template_unless_the_user_does()
    {
        string[] chat = ["chat", ChatMlModel(), "-n", "3", "--silent"];
        Assert.Contains("template chatml,", Say(chat, "/params").Err, StringComparison.Ordinal);
        Assert.Contains("template zephyr,", Say([.. chat, "--template", "zephyr"], "/params").Err, StringComparison.Ordinal);
        BuiltProgram said = Say([.. chat, "--system", "Be brief."], "Hi", $"/save {At("s")}", "/stats");
        Assert.Equal(0, said.ExitCode);
        Assert.Contains("1 turn, ", said.Err, StringComparison.Ordinal);
        Assert.Contains("template chatml", Say([.. chat, "--load-session", At("s")], "/stats").Err, StringComparison.Ordinal);
    }

    [Fact]
    public void A_template_that_is_not_known_is_an_error_that_names_the_option()
    {
        byte[] bytes = File.ReadAllBytes(ChatMlModel());
        for (int at; (at = bytes.AsSpan().IndexOf("<|im_"u8)) >= 0;)
            bytes[at + 1] = (byte)'!';
        File.WriteAllBytes(At("unknown.gguf"), bytes);
        BuiltProgram run = Say(["chat", At("unknown.gguf"), "--silent"], "Hi");
        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.Contains("--template NAME", run.Err, StringComparison.Ordinal);
        Assert.Contains("llama3.1", run.Err, StringComparison.Ordinal);
        Assert.Equal(0, Say(["chat", At("unknown.gguf"), "--silent", "-n", "3", "--template", "llama3"], "Hi").ExitCode);
    }

    [Fact]
    public void A_template_without_a_place_for_a_system_prompt_says_so_and_the_conversation_goes_on()
    {
        string[] mistral = ["chat", "--template", "mistral-v1", "-n", "3", "--silent"];
        BuiltProgram refused = Say([.. mistral, "--system", "Be brief."], "Hi");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("mistral-v1 has no place for a system prompt", refused.Err, StringComparison.Ordinal);
        BuiltProgram run = Say(mistral, "Hi", "/system Be brief.", "/stats");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("mistral-v1 has no place for a system prompt", run.Err, StringComparison.Ordinal);
        Assert.Contains("1 turn, ", run.Err, StringComparison.Ordinal);
    }
}
