using System.Text.Json;
using static Llama2.Tests.Cli.BuiltProgram;

namespace Llama2.Tests.Cli;

/// <summary>Sampling beyond run.c, and what is printed of it, through the built program.</summary>
public sealed class FilterOptionsTests
{
    [Fact]
    public void Top_1_and_min_p_of_1_are_greedy()
    {
        string greedy = Text("-t", "0", "-n", "60");
        Assert.Equal(greedy, Text("-s", "5", "-n", "60", "--top-k", "1"));
        Assert.Equal(greedy, Text("-s", "5", "-n", "60", "--min-p", "1"));
        Assert.NotEqual(greedy, Text("-s", "5", "-n", "60"));
    }

    [Fact]
    public void Values_that_change_nothing_give_run_c_s_story() =>
        Assert.Equal(Text("-s", "5"), Text("-s", "5", "--top-k", "512", "--min-p", "0", "--repeat-penalty", "1", "--logit-bias", "7=0"));

    [Fact]
    public void A_repeat_penalty_changes_a_greedy_story() =>
        Assert.NotEqual(Text("-t", "0", "-n", "100"), Text("-t", "0", "-n", "100", "--repeat-penalty", "1.5", "--repeat-last-n", "20"));

    [Fact]
    public void A_stop_string_ends_the_text_before_it_but_not_where_the_prompt_has_it()
    {
        string whole = Text("-t", "0", "-i", "Tom and Sue"), stopped =
            Text("-t", "0", "-i", "Tom and Sue", "--stop", "zzz", "--stop", "ed", "--stop", "and");
        Assert.Equal(whole[..new[] { whole.IndexOf("ed", 11, StringComparison.Ordinal),
            whole.IndexOf("and", 11, StringComparison.Ordinal) }.Min()] + "\n", stopped);
    }

    [Fact]
    public void Ignoring_eos_uses_all_steps()
    {
        JsonElement end = JsonDocument.Parse(Text("-t", "0", "--ignore-eos", "--json")).RootElement;
        Assert.Equal(("length", 512), (end.GetProperty("end").GetString(), end.GetProperty("generated_tokens").GetInt32()));
    }

    [Fact]
    public void A_bias_forces_or_forbids_a_token()
    {
        Assert.Equal("aaaa\n", Text("-t", "0", "-n", "4", "--logit-bias", $"{Id("a")}=1000"));
        string first = BuiltProgram.Run("-t", "0", "-n", "1", "--json", "--logprobs", "2", "--silent").Out.Split('\n')[0];
        JsonElement token = JsonDocument.Parse(first).RootElement;
        string second = BuiltProgram.Run("-t", "0", "-n", "1", "--json", "--logprobs", "2", "--silent", "--logit-bias",
            $"{token.GetProperty("token")}=-inf").Out.Split('\n')[0];
        Assert.Equal(token.GetProperty("top")[1].GetProperty("token").GetInt32(), JsonDocument.Parse(second)
            .RootElement.GetProperty("token").GetInt32());

        static string Id(string piece) => BuiltProgram.Run("tokenize", "--pieces", "-z", Repository.Weights("tok512-tales.bin"), "x"
            + piece).Out.Split('\n').First(line => line.EndsWith(" " + piece, StringComparison.Ordinal)).Split(' ')[0];
    }

    [Fact]
    public void Logprobs_are_json_lines_that_agree_with_each_other_and_with_the_text()
    {
        string[] lines = Text("-t", "0", "-n", "30", "-i", "Tom", "--json", "--logprobs", "512").TrimEnd().Split('\n');
        JsonElement end = JsonDocument.Parse(lines[^1]).RootElement;
        Assert.Equal(Text("-t", "0", "-n", "30", "-i", "Tom"), end.GetProperty("text").GetString() + "\n");
        Assert.Equal(end.GetProperty("generated_tokens").GetInt32(), lines.Length - 1);
        string text = "Tom";
        foreach (string line in lines[..^1])
        {
            JsonElement token = JsonDocument.Parse(line).RootElement;
            JsonElement[] top = [.. token.GetProperty("top").EnumerateArray()];
            text += token.GetProperty("text").GetString();
            Assert.Equal(512, top.Length);
            Assert.Equal(token.GetProperty("logprob").GetDouble(), top[0].GetProperty("logprob").GetDouble()); // greedy
            Assert.Equal(1, top.Sum(t => Math.Exp(t.GetProperty("logprob").GetDouble())), 1e-9);
            Assert.Equal(top.Select(t => t.GetProperty("logprob").GetDouble()).OrderDescending(),
                top.Select(t => t.GetProperty("logprob").GetDouble()));
        }
        Assert.Equal(end.GetProperty("text").GetString(), text);
    }

    [Fact]
    public void A_prompt_may_come_from_a_file_or_from_stdin()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "Sue had\n");
            string expected = Text("-t", "0", "-n", "40", "-i", "Sue had");
            Assert.Equal(expected, Text("-t", "0", "-n", "40", "--prompt-file", path));
            Assert.Equal(expected, BuiltProgram.Run(new BuiltProgram.Setup { Input = "Sue had" }, "-t", "0", "-n", "40", "--prompt-file",
                "-", "--silent").Out);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(2, "--prompt-file", "/nowhere/prompt")]
    [InlineData(1, "--prompt-file", "x", "-i", "y")]
    [InlineData(1, "--top-k", "0")]
    [InlineData(1, "--min-p", "1.5")]
    [InlineData(1, "--repeat-penalty", "0")]
    [InlineData(1, "--logit-bias", "512=1")]
    [InlineData(1, "--logit-bias", "5")]
    [InlineData(1, "--stop", "")]
    [InlineData(1, "--logprobs", "3")]
    [InlineData(1, "--batch", "x", "--json")]
    [InlineData(2, "--batch", "/nowhere/batch")]
    public void Bad_usage_is_1_and_a_bad_file_2_in_one_line(int exitCode, params string[] args) =>
        BuiltProgram.Run([.. args, "--silent"]).AssertFails(exitCode);

    [Fact]
    public void A_batch_gives_each_prompt_the_text_it_has_alone_in_order()
    {
        string[] prompts = ["Ruby had", "", "Tom and Sue went to the park. It was a sunny day and", "Ü", "Ben", "Ann", "A dog", "One day",
            "The", "Max", "Lily saw"];
        string[] lines = [.. prompts.Select(prompt => JsonSerializer.Serialize(new { prompt }))];
        BuiltProgram run = Batch([.. lines[..3], "{", "", "[1]", .. lines[3..], """{"prompt":5}"""], 2);
        JsonElement[] results = [.. run.Out.TrimEnd().Split('\n').Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal([1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14], results.Select(result => result.GetProperty("line").GetInt32()));
        string[] errors = run.Err.TrimEnd().Split('\n');
        Assert.Equal(["line 4", "line 6", "line 15"], errors.Select(error => error.Split(": ")[2]));

        foreach (int i in (int[])[0, 1, 2, 3])
            Assert.Equal(Text("-s", "7", "-n", "50", "-i", prompts[i]), results[i].GetProperty("text").GetString() + "\n");
        JsonElement[] reversed = [.. Batch([.. lines.Reverse()], 0).Out.TrimEnd().Split('\n')
            .Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(results.Select(result => result.GetProperty("text").GetString()).Reverse(),
            reversed.Select(result => result.GetProperty("text").GetString()));

        static BuiltProgram Batch(string[] lines, int exitCode)
        {
            BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { Input = string.Join('\n', lines) }, "--batch", "-", "-s", "7",
                "-n", "50", "--silent");
            Assert.Equal(exitCode, run.ExitCode);
            return run;
        }
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
}
