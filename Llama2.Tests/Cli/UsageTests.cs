using System.Text;
using System.Text.Json;

namespace Llama2.Tests.Cli;

/// <summary>Command lines that users write, and what they are told.</summary>
public sealed class UsageTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-usage-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string At(string name) => Path.Combine(_folder, name);

    private static string Text(params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run([.. args, "--silent"]);
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        return run.Out;
    }

    private static string Error(int exitCode, params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run(args);
        Assert.Equal((exitCode, ""), (run.ExitCode, run.Out));
        string line = run.Err.TrimEnd('\n').Split('\n')[^1];
        Assert.StartsWith("llama2: ", line, StringComparison.Ordinal);
        return line["llama2: ".Length..];
    }

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
        message.Replace("FOLDER", _folder, StringComparison.Ordinal),
        Error(2, [.. args.Select(arg => arg.Replace("FOLDER", _folder, StringComparison.Ordinal))]));

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
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", $"\"$@\" {args}", "bash"], WorkingDirectory = _folder };
        BuiltProgram run = BuiltProgram.Run(setup);
        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.StartsWith($"llama2: {name}: expected a name in UTF-8, found ", run.Err, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder));
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
        BuiltProgram.Setup here = new() { WorkingDirectory = _folder, Environment = { [ModelFolder.Variable] = _folder } };
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
        BuiltProgram.Setup here = new() { WorkingDirectory = _folder };
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
    public void A_prompt_file_s_bytes_are_tokens_as_tokenize_has_them()
    {
        foreach (byte[] bytes in (byte[][])[[0xFF, 0xC3], [0xEF, 0xBB, 0xBF, .. "Tom"u8],
            [.. "Tom "u8, 0xC3, (byte)'\n'], "Tom\n\n"u8.ToArray()])
        {
            File.WriteAllBytes(At("prompt"), bytes);
            string ids = Shell($"\"$@\" tokenize - < '{At("prompt")}'").Trim();
            string json = Text("--prompt-file", At("prompt"), "-n", "0", "-t", "0", "--json");
            Assert.Equal(ids.Split(' ').Length, JsonDocument.Parse(json).RootElement.GetProperty("prompt_tokens").GetInt32());
            Text("--prompt-file", At("prompt"), "-n", "100", "-t", "0", "--save-session", At("session"));
            byte[] session = File.ReadAllBytes(At("session"));
            Assert.Equal(ids, string.Join(' ', ids.Split(' ').Select((_, i) => BitConverter.ToInt32(session, 104 + 4 * i))));
        }
        Assert.Equal("1 401 287 456 471 263 305 354 482\n", Shell("printf 'Hello, world!\\n' | \"$@\" tokenize -"));
        Assert.Equal("452 258 198\n", Shell("printf '\\377\\303' | \"$@\" tokenize - --no-bos")); // a blank and two bytes
    }

    [Fact]
    public void Detokenize_reads_what_tokenize_prints()
    {
        File.WriteAllBytes(At("text"), [.. "Ü, no UTF-8: "u8, 0xFF, 0xC3, .. " and\tthe end\n"u8]);
        foreach (string reads in (string[])["detokenize", "detokenize -"])
        {
            Shell($"\"$@\" tokenize - < '{At("text")}' | \"$@\" {reads} > '{At("again")}'");
            Assert.Equal(File.ReadAllBytes(At("text")), File.ReadAllBytes(At("again")));
        }
        Assert.Equal("Hello\n", Shell("\"$@\" tokenize --no-bos Hello | \"$@\" detokenize").TrimStart());
        Assert.Contains("x is no token id", Error(1, "detokenize", "1", "x"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_prompt_that_is_too_long_is_said_with_both_numbers()
    {
        string prompt = string.Concat(Enumerable.Repeat("Tom and Sue went to the park. ", 60));
        int tokens = BuiltProgram.Run("tokenize", prompt).Out.Split(' ').Length;
        AssertSays(["-i", prompt], tokens, 512, "");
        AssertSays(["-i", prompt, "-n", "20"], tokens, 20, "");
        File.WriteAllText(At("batch"), "\n" + JsonSerializer.Serialize(new { prompt }));
        AssertSays(["--batch", At("batch"), "-n", "30"], tokens, 30, $"{At("batch")}: line 2: ");
        Assert.DoesNotContain("leaves room", BuiltProgram.Run("-i", "Tom", "-n", "20").Err, StringComparison.Ordinal);

        static void AssertSays(string[] args, int tokens, int room, string where)
        {
            BuiltProgram run = BuiltProgram.Run([.. args, "-t", "0"]);
            Assert.Equal(0, run.ExitCode);
            Assert.Contains($"\n{where}of {tokens} tokens of the prompt, -n or the context leaves room for {room}: the text ends there\n",
                run.Err, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_turn_of_run_c_s_chat_that_is_too_long_is_said_with_both_numbers()
    {
        string turn = string.Concat(Enumerable.Repeat("Tom and Sue went. ", 20));
        int tokens = BuiltProgram.Run("tokenize", $"[INST] {turn} [/INST]").Out.Split(' ').Length;
        BuiltProgram run = BuiltProgram.Run("-m", "chat", "-y", "", "-i", turn, "-n", "30", "-t", "0");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains($"\nof {tokens} tokens of the prompt, -n or the context leaves room for 30: the text ends there\n", run.Err,
            StringComparison.Ordinal);
        BuiltProgram.Setup second = new() { Input = $"Tom\n{turn}\n" };
        run = BuiltProgram.Run(second, "-m", "chat", "-y", "", "-n", "150", "-t", "0", "--logit-bias", "2=100"); // EOS at once
        Assert.Matches(
            $@"\nof {tokens} tokens of the prompt, -n or the context leaves room for 1[0-4][0-9]: the text ends there\n", run.Err);
    }

    [Fact]
    public void What_a_line_of_a_batch_says_and_nobody_reads_is_said_once()
    {
        File.WriteAllText(At("batch"), """
            {"prompt": "Tom", "sed": 5, "temperature": 0}
            {"id": 7, "prompt": "Tom", "sed": 6, "seed": 5}
            {"prompt": "Tom", "prompt": "Ann"}
            """);
        BuiltProgram run = BuiltProgram.Run("--batch", At("batch"), "-n", "5");
        Assert.Equal((2, 2), (run.ExitCode, run.Out.Count(c => c == '\n')));
        string[] lines = [.. run.Err.Split('\n').Where(line => line.Contains(": line ", StringComparison.Ordinal))];
        Assert.Equal($"{At("batch")}: line 1: not used: sed, temperature", lines[0]);
        Assert.Equal($"{At("batch")}: line 2: not used: id", lines[1]);
        Assert.StartsWith($"llama2: {At("batch")}: line 3: no JSON: ", lines[2], StringComparison.Ordinal);
        Assert.Equal(3, lines.Length);
    }

    [Fact]
    public void A_bias_that_leaves_no_token_is_refused()
    {
        string[] none = [.. Enumerable.Range(0, 512).SelectMany(id => new[] { "--logit-bias", $"{id}=-inf" })];
        Assert.Equal("--logit-bias: rules out every token", Error(1, none));
        Assert.Equal("--logit-bias: rules out every token", Error(1, [.. none[..2], .. none[6..], "--ignore-eos"]));
        string only300 = Text([.. none.Where((_, i) => i / 2 != 300), "-n", "4"]);
        Assert.Equal(BuiltProgram.Run("detokenize", "1", "300", "300", "300", "300").Out, only300);
    }

    [Theory]
    [InlineData("--logit-bias 403=nan: expected a number or -inf, found nan", "403=nan")]
    [InlineData("--logit-bias 403=inf: expected a number or -inf, found inf", "403=inf")]
    [InlineData("--logit-bias 403=: expected a number or -inf, found ", "403=")]
    [InlineData("--logit-bias 512=1: expected an id from 0 to 511, found 512", "512=1")]
    public void A_bad_bias_is_blamed_on_what_is_bad(string message, string bias) => Assert.Equal(message, Error(1, "--logit-bias", bias));

    [Fact]
    public void Temperatures_at_the_edge_mean_what_help_says()
    {
        string greedy = Text("-t", "0", "-n", "40");
        foreach (string implementation in (string[])["simple", "fast"])
        {
            foreach (string t in (string[])["1e-38", "1e-45", "1e-37", "-0"])
                Assert.Equal(greedy, Text("-t", t, "-n", "40", "-s", "3", "--impl", implementation));
            Assert.Equal(greedy, Text("-t", "inf", "--top-k", "1", "-n", "40", "--impl", implementation));
            Assert.NotEqual(greedy, Text("-t", "inf", "-n", "40", "-s", "3", "--impl", implementation));
        }
        Assert.Equal("--repeat-penalty: expected more than 0 and less than inf", Error(1, "--repeat-penalty", "inf"));
        Assert.Equal("--repeat-last-n: expected 0 or more, found -1", Error(1, "--repeat-last-n", "-1"));
    }

    [Fact]
    public void Without_a_seed_each_story_is_new_and_its_seed_tells_it_again()
    {
        BuiltProgram first = BuiltProgram.Run("-n", "60"), second = BuiltProgram.Run("-n", "60", "-s", "0");
        Assert.NotEqual(first.Out, second.Out);
        foreach (BuiltProgram run in (BuiltProgram[])[first, second])
        {
            string line = Assert.Single(run.Err.Split('\n'), line => line.StartsWith("seed: ", StringComparison.Ordinal));
            Assert.Equal(run.Out, Text("-n", "60", "-s", line["seed: ".Length..]));
        }
        File.WriteAllText(At("batch"), "{\"prompt\": \"Tom\"}\n{\"prompt\": \"Tom\"}");
        BuiltProgram batch = BuiltProgram.Run("--batch", At("batch"), "-n", "60");
        string seed = Assert.Single(batch.Err.Split('\n'), line => line.StartsWith("seed: ", StringComparison.Ordinal));
        Assert.Equal(batch.Out, Text("--batch", At("batch"), "-n", "60", "-s", seed["seed: ".Length..]));
        Assert.DoesNotContain("seed", BuiltProgram.Run("-n", "5", "-s", "7").Err, StringComparison.Ordinal);
        Assert.DoesNotContain("seed", BuiltProgram.Run("-n", "5", "-t", "0").Err, StringComparison.Ordinal);
    }

    [Fact]
    public void Times_say_what_they_count_and_begin_with_the_program()
    {
        string err = BuiltProgram.Run("-n", "5", "-t", "0").Err;
        Assert.Matches(@"\nprompt: 1 token, [0-9.]+ tok/s; generation: 5 tokens, [0-9.]+ tok/s; "
            + @"time to first token: [0-9]+ ms from the program's start; below both, as run.c counts\n", err);
        Assert.True(int.Parse(err.Split("first token: ")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture) >= 20, err);
        Assert.Contains("prompt: 1 token, ", BuiltProgram.Run("-n", "1", "-t", "0").Err, StringComparison.Ordinal);
        Assert.Contains("generation: 1 token, ", BuiltProgram.Run("-n", "1", "-t", "0").Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"$@\" --prompt-file <(sleep 2; echo Tom)")]
    [InlineData("\"$@\" --prompt-file - < <(sleep 2; echo Tom)")]
    [InlineData("\"$@\" <(sleep 2; cat weights/tales659K.bin) -z weights/tok512-tales.bin -i Tom")]
    [InlineData("\"$@\" -z <(sleep 2; cat weights/tok512-tales.bin) -i Tom")]
    public void The_time_to_the_first_token_has_all_the_waiting_in_it(string command)
    {
        string err = Shell(command + " -t 0 -n 5 2>&1 >/dev/null");
        string time = err.Split("first token: ")[1].Split(' ')[0];
        Assert.InRange(int.Parse(time, System.Globalization.CultureInfo.InvariantCulture), 2000, 100_000);
    }

    [Fact]
    public void A_persisted_session_grows_by_a_prompt()
    {
        string[] persist = ["--persist-session", At("s"), "-t", "0"];
        string first = Text([.. persist, "-n", "30", "-i", "Tom had"]).TrimEnd('\n');
        long length = new FileInfo(At("s")).Length;
        string second = Text([.. persist, "-n", "30", "-i", "Then Ruby"]).TrimEnd('\n');
        Assert.StartsWith(" Then Ruby", second, StringComparison.Ordinal);
        Assert.True(new FileInfo(At("s")).Length > length);
        string third = Text([.. persist, "-n", "10"]);
        Assert.Equal(71, BitConverter.ToInt32(File.ReadAllBytes(At("s")), 84));
        Assert.Equal(first + second + third, Decoded());

        string Decoded()
        {
            byte[] bytes = File.ReadAllBytes(At("s"));
            string ids = string.Join(' ', Enumerable.Range(0, 71).Select(i => BitConverter.ToInt32(bytes, 104 + 4 * i)));
            return BuiltProgram.Run(["detokenize", .. ids.Split(' ')]).Out;
        }
    }

    [Fact]
    public void A_story_does_not_overwrite_a_conversation()
    {
        BuiltProgram.Setup hello = new() { Input = "Hello\n" };
        BuiltProgram chat = BuiltProgram.Run(hello, "chat", "--template", "plain", "--save-session", At("c"));
        Assert.Equal(0, chat.ExitCode);
        byte[] before = File.ReadAllBytes(At("c"));
        Assert.Contains("conversation", Error(1, "--persist-session", At("c"), "-i", "More"), StringComparison.Ordinal);
        Assert.Contains("conversation", Error(1, "--persist-session", At("c")), StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(At("c")));
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

    [Fact]
    public void A_batch_line_that_is_not_UTF_8_is_refused_and_not_changed()
    {
        byte[] good = "{\"prompt\": \"T\u00fcm \ud83d\ude42\"}"u8.ToArray();
        File.WriteAllBytes(At("batch"), [0xEF, 0xBB, 0xBF, .. good, .. "\r\n{\"prompt\": \"a"u8, 0xFF, .. "b\"}\n"u8,
            .. "{\"prompt\": \"\\ud800\"}\n\n{\"prompt\": \""u8, 0xC3, .. "\"}\n"u8, .. good]);
        BuiltProgram run = BuiltProgram.Run("--batch", At("batch"), "-n", "30", "-t", "0", "--silent");
        Assert.Equal(2, run.ExitCode);
        string[] errors = run.Err.TrimEnd('\n').Split('\n');
        Assert.Equal($"llama2: {At("batch")}: line 2: no JSON, which is UTF-8", errors[0]);
        Assert.StartsWith($"llama2: {At("batch")}: line 3: no JSON", errors[1], StringComparison.Ordinal);
        Assert.Equal($"llama2: {At("batch")}: line 5: no JSON, which is UTF-8", errors[2]);
        string[] texts = [.. run.Out.TrimEnd('\n').Split('\n')
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!)];
        File.WriteAllText(At("prompt"), "T\u00fcm \ud83d\ude42");
        string alone = Text("--prompt-file", At("prompt"), "-n", "30", "-t", "0").TrimEnd('\n');
        Assert.Equal([alone, alone], texts);
    }

    [Fact]
    public void Bytes_typed_to_run_c_s_chat_are_tokens_as_tokenize_has_them()
    {
        Shell($"printf '\\377 Tom \\303\\n' | \"$@\" -m chat -y '' -t 0 -n 40 --logits '{At("logits")}' --silent >/dev/null 2>&1");
        const string Typed = "printf '[INST] \\377 Tom \\303 [/INST]' | \"$@\"";
        Assert.Contains(" 258 ", Shell($"{Typed} tokenize -"), StringComparison.Ordinal); // the byte 0xFF
        Shell($"{Typed} --prompt-file - -t 0 -n 40 --logits '{At("alone")}' --silent >/dev/null 2>&1");
        byte[] chat = File.ReadAllBytes(At("logits")), alone = File.ReadAllBytes(At("alone"));
        Assert.Equal(alone[..(4 * 512 * 20)], chat[..(4 * 512 * 20)]);
    }

    [Theory]
    [InlineData("-i ", @"caf\351 \377\303")]
    [InlineData("-i=", @"\303")]
    [InlineData("-topp 0.9 --prompt=", @"a\355\240\200b=c")]
    [InlineData("-n 5 --prompt ", @"\ufffd and \342\202")]
    public void An_argument_s_bytes_are_tokens_as_those_of_a_file(string option, string bytes)
    {
        const string Same = "-t 0 -n 60 --json --silent";
        string ids = Shell($"printf '{bytes}' | \"$@\" tokenize -");
        Assert.Equal(ids, Shell($"\"$@\" tokenize $'{bytes}'"));
        Assert.Equal(Shell($"printf '{bytes}' | \"$@\" --prompt-file - {Same}"), Shell($"\"$@\" {option}$'{bytes}' {Same}"));
        string chat = Shell($"\"$@\" -m chat -y $'{bytes}' -i $'{bytes}' -t 0 -n 100 --logits '{At("given")}' 2>&1");
        string turn = $"[INST] <<SYS>>\\n{bytes}\\n<</SYS>>\\n\\n{bytes} [/INST]";
        Shell($"printf '{turn}' | \"$@\" --prompt-file - -t 0 -n 100 --logits '{At("file")}' 2>&1");
        int compared = 4 * 512 * (ids.Split(' ').Length + 20);
        Assert.Equal(File.ReadAllBytes(At("file"))[..compared], File.ReadAllBytes(At("given"))[..compared]);
        Assert.StartsWith("tales659K", chat, StringComparison.Ordinal);
    }

    private static string Shell(string script)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        BuiltProgram.Setup setup = new() { Under = ["bash", "-c", script, "bash"] };
        BuiltProgram run = BuiltProgram.Run(setup);
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        return run.Out;
    }
}
