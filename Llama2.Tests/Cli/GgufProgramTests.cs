using System.Text.Json;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Cli;

/// <summary>The program on GGUF files: whatever it does with a checkpoint of llama2.c, it does with these.</summary>
public sealed class GgufProgramTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-").FullName;
    private readonly string _model;

    public GgufProgramTests()
    {
        _model = Path.Combine(_folder, "tales.model"); // no ending tells the format
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"), checkpoint.Config.VocabSize);
        using FileStream stream = File.Create(_model);
        GgufModelWriter.Create("tales", checkpoint.Config, checkpoint.Weights, tokenizer, "f32").Write(stream);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("-t", "0", "-n", "40")]
    [InlineData("-t", "0", "-n", "40", "--impl", "simple")]
    [InlineData("-s", "7", "-n", "60", "-i", "The little cat")]
    [InlineData("-t", "0", "-n", "60", "--quantize", "q8_0")]
    public void It_tells_the_story_of_the_checkpoint_of_the_same_weights(params string[] options)
    {
        BuiltProgram expected = BuiltProgram.Run([Repository.Weights("tales659K.bin"), "--silent", .. options]);
        BuiltProgram actual = BuiltProgram.Run([_model, "--silent", .. options]);
        Assert.Equal((0, expected.Out, ""), (actual.ExitCode, actual.Out, actual.Err));
    }

    [Fact]
    public void Its_tokenizer_is_the_one_inside_unless_another_is_named()
    {
        BuiltProgram own = BuiltProgram.Run("tokenize", "Once upon a time", "-z", _model);
        BuiltProgram checkpoints = BuiltProgram.Run("tokenize", "Once upon a time");
        Assert.Equal((0, checkpoints.Out), (own.ExitCode, own.Out));
        BuiltProgram other = BuiltProgram.Run(_model, "-z", Repository.Weights("tok512-tales.bin"), "-t", "0", "-n", "20", "--silent");
        Assert.Equal((0, BuiltProgram.Run("-t", "0", "-n", "20", "--silent").Out), (other.ExitCode, other.Out));
        BuiltProgram wrong = BuiltProgram.Run(_model, "-z", Small(), "--silent");
        Assert.Equal(2, wrong.ExitCode);
    }

    [Fact]
    public void Inspect_shows_metadata_and_tensors()
    {
        BuiltProgram program = BuiltProgram.Run("inspect", _model, "--json");
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        JsonElement report = JsonDocument.Parse(program.Out).RootElement;
        Assert.Equal(("GGUF v3", "f32", 658_656), (report.GetProperty("format").GetString(), report.GetProperty("type").GetString(),
            report.GetProperty("parameters").GetInt32()));
        JsonElement metadata = report.GetProperty("metadata");
        Assert.Equal("llama", metadata.GetProperty("general.architecture").GetString());
        string? tokens = metadata.GetProperty("tokenizer.ggml.tokens").GetString();
        Assert.StartsWith("512 of text: <unk>, <s>, </s>, ", tokens, StringComparison.Ordinal);
        JsonElement[] tensors = [.. report.GetProperty("tensors").EnumerateArray()];
        Assert.Equal(2 + 9 * 6, tensors.Length);
        Assert.Equal([512, 96], tensors[0].GetProperty("shape").EnumerateArray().Select(size => size.GetInt32()));
        Assert.Equal(1, report.GetProperty("tokenizer").GetProperty("bos").GetInt32());
        BuiltProgram statistics = BuiltProgram.Run("inspect", _model, "--stats");
        Assert.Contains("not_finite", statistics.Out, StringComparison.Ordinal);
    }

    [Fact]
    public void Verify_and_batches_take_it()
    {
        BuiltProgram verify = BuiltProgram.Run("verify", _model);
        Assert.Equal(0, verify.ExitCode);
        Assert.Contains(Llama2.Cli.Commands.VerifyCommand.DefaultModel, verify.Out, StringComparison.Ordinal);
        string prompts = Path.Combine(_folder, "prompts.jsonl");
        File.WriteAllText(prompts, "{\"prompt\":\"One\"}\n{\"prompt\":\"Two\"}\n");
        BuiltProgram batch = BuiltProgram.Run(_model, "--batch", prompts, "-t", "0", "-n", "20", "--silent");
        Assert.Equal(BuiltProgram.Run("--batch", prompts, "-t", "0", "-n", "20", "--silent").Out, batch.Out);
    }

    [Fact]
    public void A_session_belongs_to_its_model()
    {
        string session = Path.Combine(_folder, "session");
        Assert.Equal(0, BuiltProgram.Run(_model, "-t", "0", "-n", "20", "--save-session", session, "--silent").ExitCode);
        BuiltProgram again = BuiltProgram.Run(_model, "-t", "0", "-n", "20", "--load-session", session, "--silent");
        Assert.Equal(0, again.ExitCode);
        BuiltProgram other = BuiltProgram.Run(Small(), "-z", Small(), "--load-session", session, "--silent");
        Assert.Equal(2, other.ExitCode);
    }

    [Fact]
    public void Convert_writes_a_file_that_tells_the_story_alone()
    {
        string float32 = Path.Combine(_folder, "f32.gguf"), bits4 = Path.Combine(_folder, "q4.gguf");
        BuiltProgram program = BuiltProgram.Run("convert", Repository.Weights("tales659K.bin"), float32, "--type", "f32");
        Assert.Equal(0, program.ExitCode);
        Assert.Contains("GGUF v3, f32", program.Out, StringComparison.Ordinal);
        Assert.Equal(BuiltProgram.Run("-t", "0", "-n", "40", "--silent").Out,
            BuiltProgram.Run(float32, "-t", "0", "-n", "40", "--silent").Out);
        Assert.Equal(0, BuiltProgram.Run("convert", float32, bits4, "--type", "q4_0").ExitCode);
        using ModelFile file = ModelFile.Open(bits4);
        Assert.Equal("q4_0, q8_0", file.Weights.DescribeTypes());
        BuiltProgram same = BuiltProgram.Run("convert", bits4, bits4);
        Assert.Equal((1, $"llama2: {bits4} is the input; name another file\n"), (same.ExitCode, same.Err));
    }

    [Theory]
    [InlineData("f32", "q4_0")]
    [InlineData("f16", "q4_0")]
    [InlineData("bf16", "q8_0")]
    public void Floats_quantised_at_load_are_what_convert_writes(string from, string to)
    {
        string floats = Path.Combine(_folder, "floats.gguf"), blocks = Path.Combine(_folder, "blocks.gguf");
        Assert.Equal(0, BuiltProgram.Run("convert", Repository.Weights("tales659K.bin"), floats, "--type", from).ExitCode);
        Assert.Equal(0, BuiltProgram.Run("convert", floats, blocks, "--type", to).ExitCode);
        string[] options = ["-s", "5", "-n", "60", "--silent"];
        BuiltProgram expected = BuiltProgram.Run([blocks, .. options]);
        Assert.Equal(0, expected.ExitCode);
        Assert.NotEqual(BuiltProgram.Run([floats, .. options]).Out, expected.Out);
        foreach (string implementation in LoadedModel.Implementations)
        {
            BuiltProgram actual = BuiltProgram.Run([floats, "--quantize", to, "--impl", implementation, .. options]);
            Assert.Equal((0, expected.Out, ""), (actual.ExitCode, actual.Out, actual.Err));
        }
    }

    private string Small()
    {
        string path = Path.Combine(_folder, "small");
        File.WriteAllBytes(path, SmallGguf.Create());
        return path;
    }
}
