using System.Globalization;
using System.Text.Json;
using static Llama2.Tests.Cli.BuiltProgram;

namespace Llama2.Tests.Cli;

/// <summary>What a run says on stderr besides its text: what is left out, the seed, the times.</summary>
public sealed class RunNotesTests : FolderTests
{
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
        Assert.True(int.Parse(err.Split("first token: ")[1].Split(' ')[0], CultureInfo.InvariantCulture) >= 20, err);
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
        Assert.InRange(int.Parse(time, CultureInfo.InvariantCulture), 2000, 100_000);
    }
}
