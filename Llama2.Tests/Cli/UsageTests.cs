using static Llama2.Tests.Cli.BuiltProgram;

namespace Llama2.Tests.Cli;

/// <summary>Command lines that users write, and what they are told.</summary>
public sealed class UsageTests : FolderTests
{
    [Theory]
    [InlineData("-n: abc is not a whole number", "-n", "abc")]
    [InlineData("--steps: 1.5 is not a whole number", "--steps", "1.5")]
    [InlineData("-n:  is not a whole number", "-n", "")]
    [InlineData("-n: 3000000000 is too large: the largest is 2147483647", "-n", "3000000000")]
    [InlineData("--threads: -9999999999 is too small: the smallest is -2147483648", "--threads", "-9999999999")]
    [InlineData("-s: 99999999999999999999 is too large: the largest is 9223372036854775807", "-s", "99999999999999999999")]
    [InlineData("--min-p: much is not a number", "--min-p", "much")]
    [InlineData("-t: nan is not a number", "-t", "nan")]
    [InlineData("--context: x is not a whole number", "inspect", "--context", "x")]
    [InlineData("--tolerance: ten is not a number", "bench", "--tolerance", "ten")]
    [InlineData("-m: talk is not generate or chat", "-m", "talk")]
    [InlineData("--quantize: q4 is not q8_0 or q4_0", "--quantize", "q4")]
    [InlineData("--impl:  is not fast or simple", "--impl", "")]
    [InlineData("--type: q4 is not f32 or f16 or bf16 or q8_0 or q6_k or q4_k_m or q4_k or q4_0",
        "quantize", "in.bin", "out.bin", "--type", "q4")]
    [InlineData("shell: powershell is not bash or zsh or fish", "completion", "powershell")]
    [InlineData("shell: expected a name, found an empty one", "completion", "")]
    [InlineData("--speculate: yes is not auto or off or self or lookup", "--speculate", "yes")]
    [InlineData("--threads: expected 1 to 1024, found 0", "--threads", "0")]
    [InlineData("-n: expected a value, found none", "-n")]
    [InlineData("--api-key: expected a value, found none", "serve", "--api-key")]
    [InlineData("out: expected one, found none", "convert", "in.bin")]
    [InlineData("checkpoint: expected one, found none; file: expected one, found none", "perplexity")]
    [InlineData("x: expected nothing more; y: expected nothing more", "list", "x", "y")]
    [InlineData("b.bin: expected nothing more; -n: abc is not a whole number", "a.bin", "b.bin", "-n", "abc")]
    [InlineData("--keep: maybe is not true or false", "chat", "--keep=maybe")]
    [InlineData("--silent: 2 is not true or false", "--silent=2", "-n", "3")]
    [InlineData("--json: yes is not true or false", "list", "--json=yes")]
    public void A_bad_value_is_named_in_the_user_s_words(string message, params string[] args) =>
        Assert.Equal(message + " (llama2 --help lists the options)", Error(1, args));

    [Theory]
    [InlineData("FOLDER: file: expected a file, found a folder", "--prompt-file", "FOLDER")]
    [InlineData("FOLDER: file: expected a file, found a folder", "perplexity", "tales659K", "FOLDER")]
    [InlineData("FOLDER/x: file: expected a file, found nothing there", "--batch", "FOLDER/x")]
    [InlineData("FOLDER/x/y: file: expected a file, found nothing there", "perplexity", "tales659K", "FOLDER/x/y")]
    public void A_text_that_cannot_be_read_is_named_in_the_user_s_words(string message, params string[] args) => Assert.Equal(
        message.Replace("FOLDER", Folder, StringComparison.Ordinal),
        Error(2, [.. args.Select(arg => arg.Replace("FOLDER", Folder, StringComparison.Ordinal))]));

    [Theory]
    [InlineData("chat")]
    [InlineData("serve")]
    public void A_bad_template_is_told_all_that_there_are(string command) => Assert.StartsWith(
        "--template: gpt is not llama2 or plain or alpaca or ", Error(1, command, "--template", "gpt"), StringComparison.Ordinal);

    [Theory]
    [InlineData("checkpoint", "")]
    [InlineData("--save-session", "--save-session", "")]
    [InlineData("--load-session", "--load-session", "")]
    [InlineData("--persist-session", "--persist-session", "")]
    [InlineData("--prompt-file", "--prompt-file", "")]
    [InlineData("--batch", "--batch", "")]
    [InlineData("--logits", "--logits", "")]
    [InlineData("-z", "-z", "")]
    [InlineData("--json", "bench", "--json", "")]
    [InlineData("--host", "serve", "--host", "")]
    [InlineData("--slot-save-path", "serve", "--slot-save-path", "")]
    [InlineData("--to", "pull", "stories15M", "--to", "")]
    [InlineData("name", "rm", "")]
    [InlineData("checkpoint", "perplexity", "", "text.txt")]
    [InlineData("file", "perplexity", "tales659K", "")]
    [InlineData("checkpoint", "serve", "")]
    [InlineData("in", "convert", "", "out.gguf")]
    [InlineData("out", "convert", "in.bin", "")]
    [InlineData("model", "bench", "")]
    [InlineData("file", "inspect", "")]
    [InlineData("model", "verify", "")]
    public void An_empty_path_is_bad_usage(string name, params string[] args) =>
        Assert.StartsWith(name + ": expected a name, found an empty one", Error(1, args), StringComparison.Ordinal);

    [Theory]
    [InlineData("checkpoint", "$'m\\351.bin' -n 5")]
    [InlineData("-z", "-z $'\\377' -n 5")]
    [InlineData("--save-session", "--save-session=$'s\\351' -n 5")]
    [InlineData("file", "inspect $'\\303'")]
    [InlineData("out", "convert tales659K $'x\\351.gguf'")]
    public void A_name_that_is_no_UTF_8_is_bad_usage_since_it_would_be_another_file(string name, string args)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "an argument's bytes are in Linux's /proc");
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", $"\"$@\" {args}", "bash"], WorkingDirectory = Folder };
        BuiltProgram run = BuiltProgram.Run(setup);
        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.StartsWith($"llama2: {name}: expected a name in UTF-8, found ", run.Err, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Folder));
        File.Copy(Repository.Weights("tales659K.bin"), At("\ufffd"));
        Assert.Equal(0, BuiltProgram.Run(At("\ufffd"), "-z", Repository.Weights("tok512-tales.bin"), "-n", "5").ExitCode);
    }

    [Fact]
    public void Two_names_of_one_thing_are_refused_and_none_loses() => Assert.Equal(
        "a.bin and --checkpoint b.bin: only one of them", Error(1, "a.bin", "--checkpoint", "b.bin"));

    [Theory]
    [InlineData(new[] { "inspect", "--json", "--context", "x", "--context", "9" }, "inspect", "--json", "--context", "9")]
    [InlineData(new[] { "tokenize", "-z", "nowhere", "-z", "weights/tok512-tales.bin", "Tom" }, "tokenize", "Tom")]
    [InlineData(new[] { "perplexity", "tales659K", "README.md", "--context", "0", "--context", "64", "--stride", "1", "--stride", "63" },
        "perplexity", "tales659K", "README.md", "--context", "64", "--stride", "63")]
    [InlineData(new[] { "chat", "--template", "none", "--template", "plain", "-i", "Ann", "-i", "Tom", "-t", "0", "-n", "1", "-n", "9" },
        "chat", "--template", "plain", "-i", "Tom", "-t", "0", "-n", "9")]
    [InlineData(new[] { "-t", "0", "-n", "9", "--impl", "none", "--impl", "simple", "--threads", "0", "--threads", "1", "--json" },
        "-t", "0", "-n", "9", "--json")]
    public void Of_an_option_of_any_command_given_twice_the_last_wins(string[] twice, params string[] once)
    {
        (BuiltProgram a, BuiltProgram b) = (BuiltProgram.Run(twice), BuiltProgram.Run(once));
        Assert.Equal((0, b.Out), (a.ExitCode, a.Out));
        Assert.NotEqual("", b.Out);
    }

    [Fact]
    public void Of_an_option_given_twice_the_last_wins()
    {
        Assert.Equal(Text("-t", "0", "-n", "20"), Text("-t", "0.8", "-n", "5", "-t", "0", "-n", "20", "--silent"));
        Assert.Equal(Text("-s", "7", "-n", "20"), Text("-s", "1", "--seed=2", "-seed", "7", "-n", "20"));
        Assert.Equal(Text("-i", "Tom", "-t", "0"), Text("-i", "Ann", "--prompt", "Tom", "-m", "chat", "-m", "generate", "-t", "0"));
    }

    [Theory]
    [InlineData("-a.bin", "generate", "-n", "9", "-t", "0", "-z", "TOKENIZER", "--", "-a.bin")]
    [InlineData("chat", "-n", "9", "-t", "0", "-z", "TOKENIZER", "--", "chat")]
    [InlineData("--help", "-n", "9", "-t", "0", "-z", "TOKENIZER", "--", "--help")]
    [InlineData("--server", "-n", "9", "-t", "0", "-z", "TOKENIZER", "--", "--server")]
    [InlineData("-a.bin", "chat", "--template", "plain", "-i", "Tom", "-t", "0", "-n", "9", "-z", "TOKENIZER", "--", "-a.bin")]
    [InlineData("--json", "inspect", "-z", "TOKENIZER", "--", "--json")]
    [InlineData("-a.bin", "perplexity", "-z", "TOKENIZER", "--", "-a.bin", "--text")]
    [InlineData("-in.bin", "convert", "--type", "f16", "--", "-in.bin", "-out.gguf")]
    [InlineData("-a.bin", "bench", "--quick", "--threads", "1", "-n", "2", "--", "-a.bin")]
    [InlineData("-a.bin", "rm", "--", "-a")]
    public void What_follows_two_dashes_is_a_name_for_every_command(string name, params string[] args)
    {
        File.Copy(Repository.Weights("tales659K.bin"), At(name));
        File.WriteAllText(At("--text"), "Tom had a dog.");
        BuiltProgram.Setup here = new() { WorkingDirectory = Folder, Environment = { [ModelFolder.Variable] = Folder } };
        string tokenizer = Repository.Weights("tok512-tales.bin");
        BuiltProgram run = BuiltProgram.Run(here, [.. args.Select(arg => arg == "TOKENIZER" ? tokenizer : arg)]);
        Assert.True(run.ExitCode == 0, run.Err);
        Assert.Contains(name, args[0] is "bench" or "convert" or "inspect" ? run.Out : run.Err, StringComparison.Ordinal);
    }

    [Fact]
    public void What_follows_two_dashes_is_a_name()
    {
        Assert.StartsWith("-m.bin: file: ", Error(2, "-n", "10", "--", "-m.bin"), StringComparison.Ordinal);
        Assert.StartsWith("--x.bin: file: ", Error(2, "inspect", "--", "--x.bin"), StringComparison.Ordinal);
        Assert.StartsWith("-v: file: ", Error(2, "verify", "--", "-v"), StringComparison.Ordinal);
        Assert.StartsWith("there is no option -m.bin", Error(1, "-n", "10", "-m.bin"), StringComparison.Ordinal);
        Assert.StartsWith("there is no option --x", Error(1, "inspect", "--x"), StringComparison.Ordinal);
        Assert.StartsWith("there is no option --x", Error(1, "tokenize", "--x"), StringComparison.Ordinal);
        BuiltProgram.Setup typed = new() { Input = "-x" };
        Assert.Equal(BuiltProgram.Run(typed, "tokenize", "-").Out, BuiltProgram.Run("tokenize", "--", "-x").Out);
        File.Copy(Repository.Weights("tales659K.bin"), At("-m.bin"));
        BuiltProgram.Setup here = new() { WorkingDirectory = Folder };
        BuiltProgram run = BuiltProgram.Run(here, "-z", Repository.Weights("tok512-tales.bin"), "-t", "0", "-n", "20", "--", "-m.bin");
        Assert.Equal((0, Text("-t", "0", "-n", "20")), (run.ExitCode, run.Out));
    }

    [Theory]
    [InlineData("chatt", "did you mean chat?")]
    [InlineData("generat", "did you mean generate?")]
    [InlineData("stories15", "did you mean stories15M?")]
    [InlineData("xyzzy", "llama2 --help lists the commands")]
    public void A_word_that_misses_gets_a_guess(string word, string guess) =>
        Assert.Equal($"{word}: there is no such command, model or file; {guess}", Error(1, word));

    [Theory]
    [InlineData("there is no option --topk; did you mean --top-k?", "--topk", "5")]
    [InlineData("there is no option --n; did you mean -n?", "--n", "5")]
    [InlineData("there is no option --top_p=1; did you mean --top-p?", "--top_p=1")]
    [InlineData("there is no option --tempalte; did you mean --template?", "chat", "--tempalte", "plain")]
    [InlineData("there is no option --verison; did you mean --version?", "--verison")]
    [InlineData("there is no option --hlep; did you mean --help?", "inspect", "--hlep")]
    [InlineData("there is no option --jsno; did you mean --json?", "list", "--jsno")]
    [InlineData("there is no option --tpye; did you mean --type?", "convert", "a.gguf", "b.gguf", "--tpye", "q4_0")]
    [InlineData("there is no option --silnet; did you mean --silent?", "a.bin", "--silnet")]
    [InlineData("quantise: there is no such command; did you mean quantize?", "quantise", "in.bin", "out.bin")]
    public void An_option_that_misses_and_a_command_with_arguments_get_a_guess(string message, params string[] args) =>
        Assert.Equal(message + " (llama2 --help lists the options)", Error(1, args));

    [Theory]
    [InlineData("tales659", "convert", "tales659", "out.gguf")]
    [InlineData("TALES659K", "inspect", "TALES659K")]
    [InlineData("tales69K", "verify", "tales69K")]
    [InlineData("tales659K_", "bench", "tales659K_")]
    public void A_model_that_misses_gets_a_guess(string name, params string[] args) =>
        Assert.Equal($"{name}: file: expected a file, found nothing there; did you mean tales659K?", Error(2, args));

    [Fact]
    public void Help_is_a_command_too()
    {
        Assert.Equal(BuiltProgram.Run("--help"), BuiltProgram.Run("help"));
        Assert.Equal(BuiltProgram.Run("chat", "--help"), BuiltProgram.Run("help", "chat"));
    }

    [Fact]
    public void What_help_says_of_seeds_steps_and_sessions_is_so()
    {
        string help = string.Join(' ', Text("generate", "--help").Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("random seed of 64 bits (run.c keeps the lower 32)", help, StringComparison.Ordinal);
        foreach (long other in (long[])[(1L << 32) + 7, (5L << 40) + 7, (1L << 63) + 7])
            Assert.NotEqual(Text("-s", "7", "-n", "40"), Text("-s", $"{other}", "-n", "40"));
        Assert.Contains("0 is the whole context", help, StringComparison.Ordinal);
        Assert.Equal(Text("-s", "7", "-n", "512", "--ignore-eos"), Text("-s", "7", "-n", "0", "--ignore-eos"));

        Text("-s", "7", "-n", "20", "--save-session", At("s"));
        string whole = Text("-s", "7", "-n", "40").TrimEnd('\n');
        Assert.Contains("--load-session file go on with a saved session; a prompt begins anew", help, StringComparison.Ordinal);
        Assert.EndsWith(Text("--load-session", At("s"), "-n", "20").TrimEnd('\n'), whole, StringComparison.Ordinal);
        Assert.Equal(Text("-i", "Tom", "-t", "0", "-n", "20"), Text("-i", "Tom", "-t", "0", "-n", "20", "--load-session", At("s")));
        Assert.Contains("--persist-session file go on with the file if it is there, with a prompt added to it", help,
            StringComparison.Ordinal);
        Assert.StartsWith(" Tom", Text("--persist-session", At("s"), "-i", "Tom", "-n", "3"), StringComparison.Ordinal);
    }
}
