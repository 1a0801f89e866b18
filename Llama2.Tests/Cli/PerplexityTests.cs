using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Llama2.Fast;

namespace Llama2.Tests.Cli;

/// <summary>llama2 perplexity as a process.</summary>
public sealed class PerplexityTests : FolderTests
{
    private const string Text = "Once upon a time there was a little cat. It liked to play with a red ball in the garden.\n";

    private static readonly string Model = Repository.Weights("tales659K.bin");

    private readonly string _file;

    public PerplexityTests()
    {
        _file = At("text.txt");
        File.WriteAllText(_file, Text);
    }

    private static Perplexity Expected(int window, int stride)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Model);
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"), checkpoint.Config.VocabSize);
        using FastTransformer transformer = new(checkpoint.Config, checkpoint.Weights);
        return Perplexity.Of(transformer, tokenizer.Encode(Text.TrimEnd('\n'), bos: false), 1, window, stride);
    }

    [Fact]
    public void It_prints_what_the_library_computes_and_how()
    {
        Perplexity expected = Expected(512, 256);
        BuiltProgram program = BuiltProgram.Run("perplexity", Model, _file, "--silent");
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Equal(string.Create(CultureInfo.InvariantCulture, $"""
            perplexity {expected.Value:F4}, {expected.NatsPerToken:F6} nats a token over {expected.Tokens} tokens
            1 window of 512 tokens, each 256 after the one before

            """), program.Out);
    }

    [Theory]
    [InlineData("--impl", "fast", "--threads", "1")]
    [InlineData("--threads", "3")]
    public void As_JSON_it_has_all_digits(params string[] options)
    {
        Perplexity expected = Expected(16, 5);
        BuiltProgram.Setup stdin = new() { Input = Text };
        BuiltProgram program = BuiltProgram.Run(stdin,
            ["perplexity", Model, "-", "--context", "16", "--stride", "5", "--json", "--silent", .. options]);
        JsonElement json = JsonDocument.Parse(program.Out).RootElement;
        Assert.Equal((16, 5, expected.Windows, expected.Tokens), (json.GetProperty("context").GetInt32(),
            json.GetProperty("stride").GetInt32(), json.GetProperty("windows").GetInt32(), json.GetProperty("tokens").GetInt32()));
        Assert.Equal((expected.NatsPerToken, expected.Value),
            (json.GetProperty("nats_per_token").GetDouble(), json.GetProperty("perplexity").GetDouble()));
        Assert.Equal((Model, "f32"), (json.GetProperty("model").GetString(), json.GetProperty("type").GetString()));
    }

    [Fact]
    public void Simple_finds_the_same_to_many_digits_and_fewer_bits_cost_more()
    {
        double fast = Nats(), simple = Nats("--impl", "simple"), bits4 = Nats("--quantize", "q4_0");
        Assert.Equal(fast, simple, 1e-5);
        Assert.NotEqual(fast, bits4);
        Assert.InRange(bits4, fast - 0.1, fast + 0.5);

        double Nats(params string[] options) => JsonDocument.Parse(
            BuiltProgram.Run(["perplexity", Model, _file, "--json", "--silent", .. options]).Out)
            .RootElement.GetProperty("nats_per_token").GetDouble();
    }

    [Theory]
    [InlineData(1, "--context: expected 2 to 512, found 513", "--context", "513")]
    [InlineData(1, "--context: expected 2 to 512, found 1", "--context", "1")]
    [InlineData(1, "--stride: expected 1 to 511, less than a window, found 512", "--stride", "512")]
    [InlineData(1, "--stride: expected 1 to 15, less than a window, found 0", "--context", "16", "--stride", "0")]
    public void Windows_that_cannot_be_are_refused(int exitCode, string message, params string[] options)
    {
        BuiltProgram program = BuiltProgram.Run(["perplexity", Model, _file, "--silent", .. options]);
        Assert.Equal((exitCode, "", $"llama2: {message}\n"), (program.ExitCode, program.Out, program.Err));
    }

    [Fact]
    public void A_text_without_a_token_to_predict_is_refused()
    {
        File.WriteAllText(_file, "\n");
        BuiltProgram program = BuiltProgram.Run("perplexity", Model, _file, "--silent");
        Assert.Equal((2, "", $"llama2: {_file}: text: expected at least 1 token, found 0\n"),
            (program.ExitCode, program.Out, program.Err));
        program = BuiltProgram.Run("perplexity", Model, At("none"), "--silent");
        Assert.Equal((2, ""), (program.ExitCode, program.Out));
        Assert.Contains("none", program.Err, StringComparison.Ordinal);
        Assert.Equal(1, BuiltProgram.Run("perplexity", Model).ExitCode);
    }

    [Fact]
    public async Task Ctrl_c_ends_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        File.WriteAllText(_file, string.Concat(Enumerable.Repeat(Text, 20000)));
        using Process process = BuiltProgram.Start(new BuiltProgram.Setup(), "perplexity", Model, _file, "--stride", "1");
        await process.StandardError.ReadLineAsync(TestContext.Current.CancellationToken); // which model was opened
        await Task.Delay(500, TestContext.Current.CancellationToken);
        BuiltProgram.Interrupt(process);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(130, process.ExitCode);
        Assert.Equal("", await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_terminal_sees_one_line_of_progress()
    {
        using PseudoTerminal terminal = new($"llama2 perplexity '{Model}' '{_file}' --context 16 > /dev/null");
        terminal.At("perplexity so far ", "").At(" tokens", "");
    }
}
