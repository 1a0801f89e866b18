using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Llama2.Tests.Golden;

namespace Llama2.Tests.Cli;

/// <summary>The program in the place of run.c's: its flags, what it prints, how it ends.</summary>
public sealed class DropInTests : FolderTests
{
    public static TheoryData<string> DefaultModel =>
        [.. Directory.EnumerateFiles(Repository.Golden(), "tales659K*.json").Select(file => Path.GetFileNameWithoutExtension(file))];

    [Theory]
    [MemberData(nameof(DefaultModel))]
    public void Stdout_is_run_c_s_text_and_logits_are_its_bits(string name)
    {
        GoldenCase golden = GoldenCase.Read(name);
        string logits = At("logits");
        BuiltProgram program = BuiltProgram.Run([.. Arguments(golden), "--logits", logits, "--impl", "simple"]);
        AssertPrints(golden, program);
        byte[] bytes = File.ReadAllBytes(logits);
        Assert.Equal(golden.ForwardCalls * 512 * sizeof(float), bytes.Length);
        for (int position = 0; position < golden.ForwardCalls; position++)
            golden.AssertLogits(position, MemoryMarshal.Cast<byte, float>(bytes).Slice(position * 512, 512));
        if (Glibc.IsMathF)
            Assert.Equal(golden.LogitsSha256, Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    [Theory]
    [InlineData("stories260K.greedy")] // the text that llama2.c's own test expects
    [InlineData("stories260K.utf8_greedy")]
    [InlineData("stories260K_q80.t1_p09_s1")]
    [InlineData("babyllama.greedy_prompt")]
    public void Other_peoples_models_run_as_they_do_with_run_c(string name)
    {
        Repository.SkipWithoutShared();
        GoldenCase golden = GoldenCase.Read(name);
        AssertPrints(golden, BuiltProgram.Run([.. Arguments(golden), "--impl", "simple"]));
        // an activation on the edge of two int8 values may fall to the other side
        if (!golden.Model.Contains("_q80", StringComparison.Ordinal))
            AssertPrints(golden, BuiltProgram.Run([.. Arguments(golden), "--impl", "fast"]));
    }

    [Theory]
    [InlineData("-t 0.0", "a3213f9ea026d75bf2993355ae334822d7c9d34328964c711ab030d3148e6cef")]
    [InlineData("-t 1.0 -p 0.9 -s 133742", "0d33d0d617b86488c85dd171d128cd7559d789a71bc80efb254577f8dc4750aa")]
    public void Stories_that_llama2_c_publishes_come_out_to_the_letter(string flags, string sha256OfText)
    {
        Repository.SkipWithoutShared();
        BuiltProgram program = BuiltProgram.Run([Repository.Shared("weights", "stories260K.bin"), "-z",
            Repository.Shared("weights", "tok512.bin"), .. flags.Split(' ')]);
        Assert.Equal(0, program.ExitCode);
        Assert.Equal(sha256OfText, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(program.Out))));
    }

    public static TheoryData<string[]> SpellingsOfTheSame => new(new string[][]
    {
        ["-t", "0.8", "-p", "1.0", "-s", "7", "-n", "200", "-i", "The little bear was"],
        ["-t=0.8", "-p=1.0", "-s=7", "-n=200", "-i=The little bear was"],
        ["-temperature", "0.8", "-topp", "1.0", "-seed", "7", "-steps", "200", "-prompt", "The little bear was"],
        ["-temperature=0.8", "-topp=1.0", "-seed=7", "-steps=200", "-prompt=The little bear was"],
        ["--temperature", "0.8", "--topp", "1.0", "--seed", "7", "--steps", "200", "--prompt", "The little bear was"],
        ["--temperature=0.8", "--top-p=1.0", "--seed=7", "--steps=200", "--prompt=The little bear was", "--mode=generate"],
        ["generate", "-t", "0.8", "-p", "1.0", "-s", "7", "-n", "200", "-i", "The little bear was", "--impl", "simple"],
        ["--checkpoint", Repository.Weights("tales659K.bin"), "--tokenizer="
            + Repository.Weights("tok512-tales.bin"), "-t", "0.8", "-p", "1", "-s", "7", "-n", "200", "-i", "The little bear was"],
        ["-t", "0.8", "-checkpoint=" + Repository.Golden("tales659K_v1.bin"), "-tokenizer", Repository.Weights("tok512-tales.bin"), "-p",
            "1", "-s", "7", "-n", "200", "-i", "The little bear was"],
    });

    [Theory]
    [MemberData(nameof(SpellingsOfTheSame))]
    public void Flags_have_one_dash_or_two_and_perhaps_an_equals_sign(string[] args) =>
        AssertPrints(GoldenCase.Read("tales659K.t08_p1_s7_prompt"), BuiltProgram.Run(args));

    [Theory]
    [InlineData("-t -1 -n 20", "-t 0 -n 20")]
    [InlineData("-p 2 -s 3 -n 20", "-p 0.9 -s 3 -n 20")]
    [InlineData("-p -1 -s 3 -n 20", "-p 0.9 -s 3 -n 20")]
    [InlineData("-s 5 -n 0", "-s 5")]
    [InlineData("-s 5 -n -3", "-s 5 -n 512")]
    [InlineData("-s 5 -n 100000", "-s 5 -n 512")]
    [InlineData("-s -1 -n 20", "-s 18446744073709551615 -n 20", 1)] // not a number that run.c's atoi would take
    public void Values_out_of_range_become_run_c_s(string args, string same, int exitCodeOfSame = 0)
    {
        BuiltProgram program = BuiltProgram.Run(args.Split(' ')), expected = BuiltProgram.Run(same.Split(' '));
        Assert.Equal(0, program.ExitCode);
        Assert.Equal(exitCodeOfSame, expected.ExitCode);
        if (exitCodeOfSame == 0)
            Assert.Equal(expected.Out, program.Out);
    }

    [Fact]
    public void Silent_leaves_stderr_empty()
    {
        BuiltProgram program = BuiltProgram.Run("-t", "0", "-n", "20", "--silent");
        Assert.Equal("", program.Err);
        Assert.NotEmpty(program.Out);
    }

    [Fact]
    public void The_default_model_is_found_from_any_folder()
    {
        BuiltProgram program = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Path.GetTempPath() }, "-t", "0", "-n", "200");
        AssertPrints(GoldenCase.Read("tales659K.greedy"), program);
    }

    [Fact]
    public void Without_z_the_tokenizer_beside_the_checkpoint_is_taken_or_all_places_are_named()
    {
        string checkpoint = At("model.bin"), tokenizer = At("tokenizer.bin");
        File.Copy(Repository.Golden("tales659K_q80.bin"), checkpoint);
        BuiltProgram.Setup elsewhere = new() { WorkingDirectory = Path.GetTempPath() };
        BuiltProgram missing = BuiltProgram.Run(elsewhere, checkpoint);
        Assert.Equal(2, missing.ExitCode);
        Assert.Contains(tokenizer, missing.Err, StringComparison.Ordinal);
        Assert.Contains(Path.Combine("weights", "tokenizer.bin"), missing.Err, StringComparison.Ordinal);

        File.Copy(Repository.Weights("tok512-tales.bin"), tokenizer);
        AssertPrints(GoldenCase.Read("tales659K_q80.greedy"), BuiltProgram.Run(elsewhere, checkpoint, "-t", "0", "-n", "200"));
    }

    [Fact]
    public void Ctrl_C_stops_after_the_current_token_with_130()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends SIGINT");
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, EndlessModel.Write(Folder), "--ignore-eos");
        char[] text = new char[10];
        process.StandardOutput.ReadBlock(text);
        BuiltProgram.Interrupt(process);
        string rest = process.StandardOutput.ReadToEnd();
        Assert.Equal(130, BuiltProgram.ExitCodeOf(process, setup));
        Assert.EndsWith("\n", rest, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", process.StandardError.ReadToEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_reader_that_goes_away_is_no_error()
    {
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, EndlessModel.Write(Folder), "--ignore-eos");
        process.StandardOutput.ReadBlock(new char[10]);
        process.StandardOutput.Close();
        string error = process.StandardError.ReadToEnd();
        Assert.Equal(0, BuiltProgram.ExitCodeOf(process, setup));
        Assert.DoesNotContain("pipe", error, StringComparison.OrdinalIgnoreCase);
    }

    internal static string[] Arguments(GoldenCase golden) =>
    [
        Repository.FindModel(golden.Model)!,
        "-z", Repository.FindModel(golden.Tokenizer)!,
        "-t", golden.Temperature.ToString(CultureInfo.InvariantCulture),
        "-p", golden.Topp.ToString(CultureInfo.InvariantCulture),
        "-s", golden.Seed.ToString(CultureInfo.InvariantCulture),
        "-n", golden.Steps.ToString(CultureInfo.InvariantCulture),
        "-i", golden.Prompt,
    ];

    private static void AssertPrints(GoldenCase golden, BuiltProgram program)
    {
        Assert.Equal((golden.TextUtf8 ?? golden.Text) + "\n", program.Out);
        Assert.Equal(0, program.ExitCode);
        string[] lines = program.Err.TrimEnd('\n').Split('\n');
        Assert.Matches(
            @"^(.*bin|tales659K \(inside the program\)): "
            + "dim [0-9]+, hidden [0-9]+, layers [0-9]+, heads [0-9]+, kv heads [0-9]+, vocab [0-9]+, "
            + "context [0-9]+, llama2.c v[012] ",
            lines[0]);
        Assert.Matches("^achieved tok/s: [0-9]+\\.[0-9]{6}$", lines[^1]);
    }
}
