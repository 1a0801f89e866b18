using System.Text.RegularExpressions;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;

namespace Llama2.Tests.Cli;

/// <summary>What the program does to a terminal: its modes, its width, its escape sequences.</summary>
public sealed class TerminalTests : FolderTests
{
    [Theory]
    [InlineData("llama2 -n 5")]
    [InlineData("llama2 --help")]
    [InlineData("llama2 inspect")]
    [InlineData("llama2 nosuchmodel; true")]
    [InlineData("llama2 -i Tom -m chat -y '' -n 20")]
    [InlineData("llama2 bench --quick --threads 1 -n 8")]
    public void Nothing_but_chat_changes_the_terminal(string command)
    {
        using PseudoTerminal terminal = new($"before=$(stty -g); {command}; test \"$(stty -g)\" = \"$before\"");
        Assert.Equal(0, terminal.End());
        Assert.DoesNotContain("\e", terminal.Screen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\u0004", 0)]
    [InlineData("/exit\n", 0)]
    [InlineData("/exit\r", 0)]
    [InlineData("\u0003\u0003", 130)]
    [InlineData("/nonsense\rab\u0003\u0003", 130)]
    public void Chat_restores_the_terminal(string keys, int exitCode)
    {
        using PseudoTerminal terminal = new("before=$(stty -g); llama2 chat; code=$?; test \"$(stty -g)\" = \"$before\" && exit $code");
        Assert.Equal(exitCode, terminal.At("> ", keys).End());
        AssertPasteIsOff(terminal);
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    [InlineData("HUP")]
    public void Chat_restores_the_terminal_after_signals(string signal)
    {
        using PseudoTerminal terminal = new("before=$(stty -g); echo shell $$.; llama2 chat --silent; code=$?; "
            + "test \"$(stty -g)\" = \"$before\" && exit $code");
        terminal.At("> ", "some words").At("words", "");
        string shell = Regex.Match(terminal.Screen, @"shell (\d+)\.").Groups[1].Value;
        string send = $"kill -{signal} $(pgrep -P {shell})";
        System.Diagnostics.Process.Start("bash", ["-c", signal == "INT" ? $"{send}; sleep 1; {send}" : send]).WaitForExit();
        Assert.Equal(signal switch { "TERM" => 143, "HUP" => 129, _ => 130 }, terminal.End());
        AssertPasteIsOff(terminal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("some words")]
    [InlineData("one\u0001")]
    public void Chat_has_its_keys_after_SIGSTOP_and_SIGCONT_too(string typed)
    {
        using PseudoTerminal terminal = new("before=$(stty -g); echo shell $$.; llama2 chat --template plain -t 0 -n 5 --silent; code=$?; "
            + "test \"$(stty -g)\" = \"$before\" && exit $code");
        terminal.At("> ", typed + "x").At("x", "");
        string shell = Regex.Match(terminal.Screen, @"shell (\d+)\.").Groups[1].Value;
        string stop = $"p=$(pgrep -P {shell}); kill -STOP $p; sleep 1; kill -CONT $p; sleep 1";
        System.Diagnostics.Process.Start("bash", ["-c", stop]).WaitForExit();
        terminal.At("", "\u0005\u0015Tom\r").At("Tom", "").At("> ", "/undo\r").At("taken back: Tom\r", "").At("> ", "\u0004");
        Assert.Equal(0, terminal.End());
    }

    [Fact]
    public void A_progress_bar_restores_the_terminal()
    {
        byte[] model = File.ReadAllBytes(Repository.Weights("tales659K.bin"));
        using FaultyServer server = new(request => new FaultyServer.Reply(model) { Status = request.Target == "/m.bin" ? 200 : 404 });
        using PseudoTerminal terminal = new($"before=$(stty -g); llama2 pull {server.Address}/m.bin --to weights;"
            + $"llama2 pull {server.Address}/none.bin --to weights;"
            + "test \"$(stty -g)\" = \"$before\"", folder: Folder);
        Assert.Equal(0, terminal.End());
        Assert.Equal(model, File.ReadAllBytes(At("weights/m.bin")));
        Assert.True(terminal.Screen.LastIndexOf("\e[?25h", StringComparison.Ordinal)
            >= terminal.Screen.LastIndexOf("\e[?25l", StringComparison.Ordinal), "the cursor is hidden");
        Assert.DoesNotContain("\e[?1h", terminal.Screen, StringComparison.Ordinal);
    }

    private static void AssertPasteIsOff(PseudoTerminal terminal)
    {
        int on = terminal.Screen.LastIndexOf("\e[?2004h", StringComparison.Ordinal);
        Assert.True(on >= 0 && terminal.Screen.LastIndexOf("\e[?2004l", StringComparison.Ordinal) > on, terminal.Screen);
        Assert.DoesNotContain("\e[?1h", terminal.Screen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a\e]0;title\ab", "a^[]0;title^Gb")]
    [InlineData("\e[2J\r\b\0", "^[[2J^M^H^@")]
    [InlineData("\u009b2J\u0085\u007f", "\\x9b2J\\x85^?")]
    [InlineData("one\ttwo\nthree", "one\ttwo\nthree")]
    [InlineData("é 日 🙂", "é 日 🙂")]
    public void Control_characters_are_shown(string text, string shown) => Assert.Equal(shown, Visible.Of(text));

    [Fact]
    public void A_models_escapes_are_shown_on_a_terminal_and_are_bytes_in_a_pipe()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "a pseudo terminal is made with util-linux's script");
        File.WriteAllBytes(At("t.bin"), TokenizerWithEscapes());
        string args = $"-z {At("t.bin")} -n 50 -t 0 --silent";
        using PseudoTerminal terminal = new($"llama2 {args}; echo =; llama2 {args} | od -c; llama2 $(printf 'no\\033[2Jmodel'); true");
        Assert.Equal(0, terminal.End());
        string[] parts = terminal.Screen.Split("=\r\n");
        Assert.Contains("^[", parts[0], StringComparison.Ordinal);
        Assert.DoesNotContain("^[", parts[1].Split("llama2:")[0], StringComparison.Ordinal);
        Assert.Contains(" 033 ", parts[1], StringComparison.Ordinal);
        Assert.Contains("no^[[2Jmodel", parts[1], StringComparison.Ordinal);
        Assert.DoesNotContain("\e", terminal.Screen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("inspect", "longest_piece ", "^[", "m^[[2J\\x9b\\nx.bin")]
    [InlineData("inspect --json", "m\\u001B[2J\\u009B\\nx.bin")]
    [InlineData("verify", "m^[[2J\\x9b", "scalar")]
    [InlineData("-n 2", "m^[[2J\\x9b x.bin: dim 96", "seed: ")]
    [InlineData("quantize", "q.bin: 7", "m^[[2J\\x9b")]
    [InlineData("bench --quick --threads 1 -n 4", "**m^[[2J\\x9b", "x.bin, decode")]
    [InlineData("tokenize --pieces -z", "3", "^[")]
    public void Names_and_pieces_are_shown_and_not_obeyed_by_a_terminal(string command, params string[] shown)
    {
        File.Copy(Repository.Weights("tales659K.bin"), At("m\e[2J\u009b\nx.bin"));
        File.WriteAllBytes(At("tokenizer.bin"), TokenizerWithEscapes());
        string[] words = command.Split(' ', 2);
        string names = command.StartsWith("tokenize", StringComparison.Ordinal) ? "tokenizer.bin ' there was a little girl'"
            : "$'m\\e[2J\\xc2\\x9b\\nx.bin'" + (command == "quantize" ? " q.bin 2>/dev/null" : "");
        string first = words[0].StartsWith('-') ? $"{names} {command}" : $"{command} {names}";
        using PseudoTerminal terminal = new($"llama2 {first}", columns: 200, folder: Folder);
        Assert.Equal(0, terminal.End());
        Assert.All(shown, text => Assert.Contains(text, terminal.Screen, StringComparison.Ordinal));
        Assert.DoesNotContain("\e", terminal.Screen, StringComparison.Ordinal);
        Assert.DoesNotContain("\u009b", terminal.Screen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("inspect", "general.name", 0)]
    [InlineData("inspect --json", "general.name", 0)]
    [InlineData("inspect", "general.architecture", 2)]
    [InlineData("-n 2", "general.architecture", 2)]
    public void What_a_GGUF_file_says_is_shown_and_not_obeyed_by_a_terminal(string command, string key, int code)
    {
        byte[] model = SmallGguf.Create(metadata: values => values[key] = values["x\e[2J"] = "llama\e[2J\u009b31m");
        File.WriteAllBytes(At("model"), model);
        using PseudoTerminal terminal = new($"llama2 {command} model", columns: 200, folder: Folder);
        Assert.Equal(code, terminal.End());
        Assert.Contains("llama", terminal.Screen, StringComparison.Ordinal);
        Assert.Contains("[2J", terminal.Screen.Replace("\\u001B", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("\e", terminal.Screen, StringComparison.Ordinal);
        Assert.DoesNotContain("\u009b", terminal.Screen, StringComparison.Ordinal);
    }

    /// <summary>The tokenizer that ships, with an escape in each of its longer pieces.</summary>
    private static byte[] TokenizerWithEscapes()
    {
        byte[] tokenizer = File.ReadAllBytes(Repository.Weights("tok512-tales.bin"));
        for (int at = 4, length; at < tokenizer.Length; at += 8 + length) // run.c's: the longest piece, then score, length and piece
        {
            length = BitConverter.ToInt32(tokenizer, at + 4);
            if (length > 3)
                tokenizer[at + 9] = (byte)'\e';
        }
        return tokenizer;
    }

    [Fact]
    public void A_sessions_escapes_are_shown_on_a_terminal()
    {
        using PseudoTerminal terminal = new($"printf 'Tom \\033[2J\\n' | llama2 chat -n 1 --silent --save-session {At("s")} | od -c;"
            + $"printf '/undo\\n' | llama2 chat --load-session {At("s")}");
        Assert.Equal(0, terminal.End());
        Assert.Contains("last message: Tom ^[[2J", terminal.Screen, StringComparison.Ordinal);
        Assert.Contains("taken back: Tom ^[[2J", terminal.Screen, StringComparison.Ordinal);
        Assert.DoesNotContain("\e", terminal.Screen, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(40, "generate", 40)]
    [InlineData(40, "bench", 40)]
    [InlineData(72, "chat", 72)]
    [InlineData(100, "quantize", 100)]
    [InlineData(200, "generate", 100)]
    public void Help_breaks_at_blanks_and_is_as_wide_as_the_terminal(int columns, string command, int widest)
    {
        using PseudoTerminal terminal = new($"llama2 {command} --help", columns);
        Assert.Equal(0, terminal.End());
        string[] lines = terminal.Screen.TrimEnd().Split("\r\n");
        Assert.All(lines, line => Assert.True(line.Length <= widest || !line.Trim().Contains(' '), line));
        Assert.Contains(lines, line => line.Length > widest - 12);
        Assert.Equal(Words(HelpText.For(Llama2.Cli.Program.CreateRootCommand([command]).Subcommands
            .Single(sub => sub.Name == command), 80)), Words(terminal.Screen));

        static string[] Words(string text) => text.Split([' ', '\r', '\n', '\\'], StringSplitOptions.RemoveEmptyEntries);
    }

    [Theory]
    [InlineData(40, "inspect --cpu", "it is the first", "avx", "because")]
    [InlineData(40, "inspect --stats weights/tales659K.bin", "token_embedding_table", "512 x 96", "shape")]
    [InlineData(30, "inspect weights/tales659K.bin", "token_embedding_table", "rms_final_weight", "kv_cache_per_token  2,304")]
    [InlineData(40, "bench --quick --threads 1 -n 4 2>/dev/null", "| implementation | threads |", "fast int8")]
    [InlineData(40, "chat --silent -t 0 -n 60 --template plain -i 'Once upon a time' </dev/null", "\n", "there", "was")]
    [InlineData(40, "quantize weights/tales659K.bin OUT >/dev/null", "100%", "x.bin", "\r")]
    [InlineData(40, "quantize weights/tales659K.bin OUT 2>/dev/null", "greedy agreement: ", "largest error: ")]
    [InlineData(40, "verify", "  34f1847dd6ab05ac\r", "calls of 64\r")]
    [InlineData(30, "perplexity tales659K LICENSE", "perplexity so far ", " windows of 512 tokens, each\r\n256 after the one")]
    [InlineData(40, "-t 0 -n 5 >/dev/null", "dim 96,\r\nhidden 256", "achieved tok/s: ")]
    [InlineData(20, "tokenize 'Once upon a time, there was a little girl'", "1 335 351 386 283\r")]
    [InlineData(30, "nosuchmodel || true", "llama2: nosuchmodel: there is\r\nno such command")]
    [InlineData(30, "chat --silent -i /help </dev/null", "/help          this\r", "/reset         begin a new\r\nconversation")]
    public void A_narrow_terminal_gets_whole_words_and_fewer_columns(int columns, string command, params string[] shown)
    {
        using PseudoTerminal terminal = new("llama2 " + command.Replace("OUT", At("x.bin"), StringComparison.Ordinal), columns);
        Assert.Equal(0, terminal.End());
        Assert.All(shown, text => Assert.Contains(text, terminal.Screen, StringComparison.Ordinal));
        string[] lines = Regex.Replace(terminal.Screen, "\e\\[[0-9;?]*[A-Za-z]", "").TrimEnd().Split('\n');
        Assert.All(lines, line => Assert.All(line.Split('\r'), part => // a word longer than the line is left whole
            Assert.True(part.Length <= columns || part.LastIndexOf(' ') < columns, part)));
    }

    [Fact]
    public void Answers_break_at_blanks_on_a_terminal_and_nowhere_in_a_pipe()
    {
        const string Args = "--silent -t 0 -n 60 --template plain -i 'Once upon a time'";
        using PseudoTerminal terminal = new($"llama2 chat {Args} </dev/null; echo =; llama2 chat {Args} </dev/null | cat", columns: 30);
        Assert.Equal(0, terminal.End());
        string[] parts = terminal.Screen.Split("=\r\n");
        string[] shown = Regex.Replace(parts[0], "[^\\n]*?\r\e\\[(\\d+)C\e\\[K", match =>
            match.Value[..int.Parse(match.Groups[1].Value, null)]).TrimEnd().Split("\r\n");
        Assert.All(shown, line => Assert.InRange(line.Length, 0, 30));
        Assert.True(shown.Length > 3, terminal.Screen);
        string piped = parts[1].TrimEnd();
        Assert.Equal(piped.ReplaceLineEndings(" ").Replace(" ", ""), string.Concat(shown).Replace(" ", ""));
        Assert.All(shown, line => Assert.Contains(line.Trim(), piped.ReplaceLineEndings(" "), StringComparison.Ordinal));
    }

    [Fact]
    public void The_width_of_characters_is_that_of_terminals()
    {
        Assert.Equal((1, 2, 2, 1, 2, 2, 4), (TextWidth.Of("e\u0301"), TextWidth.Of("日"), TextWidth.Of("🙂"), TextWidth.Of("‰"),
            TextWidth.Of("👩‍👩‍👧"), TextWidth.Of("🇫🇷"), TextWidth.Of("한국")));
    }
}
