using System.Text.Json;

namespace Llama2.Tests.Cli;

/// <summary>--speculate, through the built program: it changes the time and what stderr says of it, and nothing else.</summary>
public sealed class SpeculateTests
{
    private static readonly string[] Modes = ["off", "self", "lookup", "auto"];

    private static BuiltProgram Run(string mode, params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run([.. args, "--speculate", mode]);
        Assert.Equal(0, run.ExitCode);
        return run;
    }

    [Theory]
    [InlineData("-t", "0")]
    [InlineData("-t", "1", "-s", "5")]
    [InlineData("-t", "0.8", "-s", "6", "-p", "1", "--repeat-penalty", "1.3", "--ignore-eos")]
    [InlineData("-t", "0.8", "-s", "7", "--top-k", "5", "--json", "--logprobs", "3", "--stop", "ed the")]
    [InlineData("-t", "0", "-i", "Tom and Sue went to", "--json", "--logprobs", "2")]
    [InlineData("-m", "chat", "-y", "", "-i", "Tom", "-n", "60", "-t", "0")]
    public void Stdout_is_the_same(params string[] args)
    {
        string expected = Run("off", args).Out;
        foreach (string mode in Modes[1..])
            Assert.Equal(expected, Run(mode, args).Out);
    }

    [Fact]
    public void Logits_and_sessions_are_the_same_files()
    {
        using TestFolder folder = new();
        foreach (string mode in Modes)
        {
            string[] logits = ["--logits", folder.File($"logits-{mode}")], session = ["--persist-session", folder.File($"session-{mode}")];
            Run(mode, ["-t", "0.8", "-s", "3", "-n", "60", .. logits, .. session]);
            Run(mode, ["-n", "60", "-i", " Then", .. session]); // goes on, with the same coins
        }
        foreach (string mode in Modes[1..])
        {
            Assert.Equal(File.ReadAllBytes(folder.File("logits-off")), File.ReadAllBytes(folder.File($"logits-{mode}")));
            Assert.Equal(File.ReadAllBytes(folder.File("session-off")), File.ReadAllBytes(folder.File($"session-{mode}")));
        }
    }

    [Fact]
    public void Texts_of_a_batch_and_answers_of_a_chat_are_the_same()
    {
        string[] prompts = ["Tom", "Ruby had", "", "Ann", "Tom", "One day", "Ben", "The", "A dog", "Lily saw"];
        BuiltProgram.Setup batch = new() { Input = string.Join('\n', prompts.Select(prompt => JsonSerializer.Serialize(new { prompt }))) };
        BuiltProgram.Setup chat = new() { Input = "Tom and Sue\nwere in the park\n/undo\nThen they\n/stats\n" };
        string[] batchArgs = ["--batch", "-", "-s", "7", "-n", "80"], chatArgs =
            ["chat", "--template", "plain", "-t", "0.8", "-s", "2", "-n", "50"];
        string texts = BuiltProgram.Run(batch, [.. batchArgs, "--speculate", "off"]).Out, answers =
            BuiltProgram.Run(chat, [.. chatArgs, "--speculate", "off"]).Out;
        Assert.Equal(prompts.Length, texts.TrimEnd().Split('\n').Length);
        Assert.True(answers.Length > 100, answers);
        foreach (string mode in Modes[1..])
        {
            BuiltProgram batched = BuiltProgram.Run(batch, [.. batchArgs, "--speculate", mode]);
            BuiltProgram chatted = BuiltProgram.Run(chat, [.. chatArgs, "--speculate", mode]);
            Assert.Equal((texts, answers), (batched.Out, chatted.Out));
            if (mode == "self")
                Assert.All([batched.Err, chatted.Err], err => Assert.Matches(Summary, err));
        }
    }

    private const string Summary = @"(?m)^speculation: [1-9]\d* drafted, [1-9]\d* accepted, [1-9]\d*\.\d\d tokens a step$";

    [Fact]
    public void Stderr_says_how_often_guesses_were_right_where_there_were_any()
    {
        Assert.Matches(Summary, Run("self", "-t", "0").Err);
        Assert.DoesNotContain("speculation", Run("off", "-t", "0").Err, StringComparison.Ordinal);
        Assert.Equal("", Run("self", "-t", "0", "--silent").Err);
    }

    [Fact]
    public void Simple_guesses_nothing_and_says_so()
    {
        BuiltProgram run = Run("self", "-t", "0", "-n", "40", "--impl", "simple");
        Assert.Contains("speculation: off, since simple computes rows one by one\n", run.Err, StringComparison.Ordinal);
        Assert.Equal(Run("off", "-t", "0", "-n", "40").Out, run.Out);
        Assert.DoesNotContain("speculation", BuiltProgram.Run("-t", "0", "-n", "5", "--impl", "simple").Err, StringComparison.Ordinal);
    }

    [Fact]
    public void An_int8_model_has_no_smaller_copy()
    {
        BuiltProgram run = BuiltProgram.Run("--quantize", "q8_0", "--speculate", "self", "--silent");
        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.StartsWith(
            "llama2: --speculate self: expected a float32 model, found q8_0 in groups of ", run.Err, StringComparison.Ordinal);
        string[] args = ["--quantize", "q8_0", "-t", "0"];
        Assert.Equal(Run("off", args).Out, Run("lookup", args).Out);
    }
}
