using System.Text.Json;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Cli;

/// <summary>The program on GGUF files: whatever it does with a checkpoint of llama2.c, it does with these.</summary>
public sealed class GgufProgramTests : FolderTests
{
    private readonly string _model;

    public GgufProgramTests()
    {
        _model = At("tales.model"); // no ending tells the format
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"), checkpoint.Config.VocabSize);
        using FileStream stream = File.Create(_model);
        GgufModelWriter.Create("tales", checkpoint.Config, checkpoint.Weights, tokenizer, "f32").Write(stream);
    }

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

    /// <summary>Of Mistral's kind: what lies behind the window would have to be forgotten, so the context ends with it.</summary>
    [Fact]
    public void A_sliding_window_is_the_context_and_that_is_said()
    {
        string path = WithKeys(writer => writer.Add("llama.attention.sliding_window", 20u));
        BuiltProgram program = BuiltProgram.Run(path, "-t", "0", "-n", "0");
        Assert.Equal(0, program.ExitCode);
        Assert.Contains(", context 20 (its window), ", program.Err, StringComparison.Ordinal);
        Assert.DoesNotContain("window", BuiltProgram.Run(_model, "-t", "0", "-n", "2").Err, StringComparison.Ordinal);
        Assert.Equal(20, Inspect(path).GetProperty("derived").GetProperty("sliding_window").GetInt32());
        Assert.Equal(20, Inspect(path).GetProperty("header").GetProperty("seq_len").GetInt32());
        Assert.Equal(JsonValueKind.Null, Inspect(_model).GetProperty("derived").GetProperty("sliding_window").ValueKind);
    }

    [Theory]
    [InlineData("{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}", "chatml")]
    [InlineData("{{ bos_token }}{{ '### Instruction:' }}{{ '### Response:' }}", "alpaca")]
    [InlineData("{{ '<start_of_turn>' + m.role }}", null)]
    public void A_chat_takes_the_template_in_the_file_or_names_the_option(string jinja, string? name)
    {
        string path = WithKeys(writer => writer.Add("tokenizer.chat_template", jinja));
        BuiltProgram.Setup line = new() { Input = "Hello\n" };
        string[] args = ["chat", path, "-t", "0", "-n", "20", "--silent"];
        BuiltProgram own = BuiltProgram.Run(line, args), chosen = BuiltProgram.Run(line, [.. args, "--template", name ?? "vicuna"]);
        Assert.Equal((0, ""), (chosen.ExitCode, chosen.Err));
        string? shown = Inspect(path).GetProperty("chat_template").GetString();
        if (name is not null)
        {
            Assert.Equal((0, chosen.Out, name), (own.ExitCode, own.Out, shown));
            Assert.NotEqual(own.Out, BuiltProgram.Run(line, [.. args, "--template", "plain"]).Out);
            return;
        }
        Assert.Equal((1, ""), (own.ExitCode, own.Out));
        Assert.StartsWith($"llama2: {path}: its chat template is none of those that are known; --template NAME chooses one: llama2, "
            + "plain, ", own.Err, StringComparison.Ordinal);
        Assert.Equal("none of those that are known; --template NAME chooses one", shown);
        Assert.Equal(JsonValueKind.Null, Inspect(_model).GetProperty("chat_template").ValueKind);
    }

    [Fact]
    public void Another_architecture_is_refused_by_its_name_with_the_list_of_what_runs()
    {
        string path = At("other");
        File.WriteAllBytes(path, SmallGguf.Create(metadata: values => values["general.architecture"] = "qwen2"));
        BuiltProgram program = BuiltProgram.Run(path);
        const string Family = "llama: Llama 1 to 3.2, Code Llama, TinyLlama, SmolLM, Vicuna, Mistral 7B and others of their shape";
        Assert.Equal((2, "", $"llama2: {path}: general.architecture: expected {Family}, found qwen2\n"),
            (program.ExitCode, program.Out, program.Err));
    }

    [Fact]
    public void Verify_and_batches_take_it()
    {
        BuiltProgram verify = BuiltProgram.Run("verify", _model);
        Assert.Equal(0, verify.ExitCode);
        Assert.Contains(Llama2.Cli.Commands.VerifyCommand.DefaultModel, verify.Out, StringComparison.Ordinal);
        string prompts = At("prompts.jsonl");
        File.WriteAllText(prompts, "{\"prompt\":\"One\"}\n{\"prompt\":\"Two\"}\n");
        BuiltProgram batch = BuiltProgram.Run(_model, "--batch", prompts, "-t", "0", "-n", "20", "--silent");
        Assert.Equal(BuiltProgram.Run("--batch", prompts, "-t", "0", "-n", "20", "--silent").Out, batch.Out);
    }

    [Fact]
    public void A_session_belongs_to_its_model()
    {
        string session = At("session");
        Assert.Equal(0, BuiltProgram.Run(_model, "-t", "0", "-n", "20", "--save-session", session, "--silent").ExitCode);
        BuiltProgram again = BuiltProgram.Run(_model, "-t", "0", "-n", "20", "--load-session", session, "--silent");
        Assert.Equal(0, again.ExitCode);
        BuiltProgram other = BuiltProgram.Run(Small(), "-z", Small(), "--load-session", session, "--silent");
        Assert.Equal(2, other.ExitCode);
    }

    [Fact]
    public void Convert_writes_a_file_that_tells_the_story_alone()
    {
        string float32 = At("f32.gguf"), bits4 = At("q4.gguf");
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
        string floats = At("floats.gguf"), blocks = At("blocks.gguf");
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

    private static JsonElement Inspect(string path) => JsonDocument.Parse(BuiltProgram.Run("inspect", path, "--json").Out).RootElement;

    // The model with more keys.
    private string WithKeys(Action<GgufWriter> add)
    {
        string path = At("keys");
        using GgufModel model = (GgufModel)ModelFile.Open(_model);
        GgufWriter writer = GgufModelWriter.Create(model, "f32");
        add(writer);
        using FileStream stream = File.Create(path);
        writer.Write(stream);
        return path;
    }

    private string Small()
    {
        string path = At("small");
        File.WriteAllBytes(path, SmallGguf.Create());
        return path;
    }
}
