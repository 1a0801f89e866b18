using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>The options of llama2.c's run, with its meanings and clamps, under its names, llama2.go's and long ones.</summary>
internal sealed class GenerateOptions
{
    private const int DefaultSteps = 256;

    public Argument<string?> Checkpoint { get; } = new("checkpoint") { Description = "checkpoint file of llama2.c, or the name of a model in weights/; default: the model that ships", Arity = ArgumentArity.ZeroOrOne };

    public Option<string?> CheckpointOption { get; } = new("--checkpoint", "-checkpoint") { Description = "the same, as an option", HelpName = "file" };

    public Option<float> Temperature { get; } = new("--temperature", "-temperature", "-t")
    {
        Description = "temperature in [0,inf], 0 is greedy",
        HelpName = "float",
        DefaultValueFactory = _ => 1.0f,
        CustomParser = result => ParseFloat(result, value => value < 0 ? 0 : value),
    };

    public Option<float> TopP { get; } = new("--top-p", "--topp", "-topp", "-p")
    {
        Description = "p value in top-p (nucleus) sampling in [0,1]",
        HelpName = "float",
        DefaultValueFactory = _ => 0.9f,
        CustomParser = result => ParseFloat(result, value => value is < 0 or > 1 ? 0.9f : value),
    };

    public Option<long> Seed { get; } = new("--seed", "-seed", "-s") { Description = "random seed, 0 takes the time", HelpName = "int" };

    public Option<int?> Steps { get; } = new("--steps", "-steps", "-n") { Description = "number of steps to run for, 0 is the whole context; default 256, for the model that ships its whole context", HelpName = "int" };

    public Option<string> Prompt { get; } = new("--prompt", "-prompt", "-i") { Description = "input prompt", HelpName = "string" };

    public Option<string?> Tokenizer { get; } = new("--tokenizer", "-tokenizer", "-z") { Description = "tokenizer; default: tokenizer.bin beside the checkpoint, here or in weights/", HelpName = "file" };

    public Option<string> Mode { get; } = new("--mode", "-m") { Description = "generate or chat", HelpName = "mode", DefaultValueFactory = _ => "generate" };

    public Option<string?> System { get; } = new("--system", "-y") { Description = "system prompt in chat mode", HelpName = "string" };

    public Implementations Implementations { get; } = new();

    public Option<string?> Logits { get; } = new("--logits") { Description = "append the logits of every forward pass to a file: float32, little-endian", HelpName = "file" };

    public Option<bool> Silent { get; } = new("--silent") { Description = "nothing on stderr but errors" };

    public GenerateOptions()
    {
        Mode.AcceptOnlyFromAmong("generate", "chat");
        Checkpoint.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: ['-', _, ..] option }])
                result.AddError($"there is no option {option}");
        });
    }

    public void AddTo(Command command)
    {
        command.Add(Checkpoint);
        foreach (Option option in (Option[])[CheckpointOption, Temperature, TopP, Seed, Steps, Prompt, Tokenizer, Mode, System, Logits, Silent])
            command.Add(option);
        Implementations.AddTo(command);
    }

    /// <summary>Whether an option was written, rather than left at its default.</summary>
    public static bool IsGiven(ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };

    /// <summary>The sampler of a new session, or of a saved one to go on with; then only what was written on the command line replaces what was saved.</summary>
    public Sampler CreateSampler(ParseResult result, int vocabSize, SavedSession? saved)
    {
        float temperature = saved is null || IsGiven(result, Temperature) ? result.GetValue(Temperature) : saved.Temperature;
        float topp = saved is null || IsGiven(result, TopP) ? result.GetValue(TopP) : saved.TopP;
        return new Sampler(vocabSize, temperature, topp, saved is null || IsGiven(result, Seed) ? SeedOf(result) : saved.RandomState);
    }

    /// <summary>The checkpoint named in either way.</summary>
    public string FindCheckpoint(ParseResult result) => ModelFiles.FindCheckpoint(result.GetValue(Checkpoint) ?? result.GetValue(CheckpointOption));

    /// <summary>The number of steps for a model, 1 to <paramref name="seqLen"/>.</summary>
    public int StepsFor(ParseResult result, string checkpoint, int seqLen)
    {
        int steps = result.GetValue(Steps) ?? (ModelFiles.IsDefault(checkpoint) ? 0 : DefaultSteps);
        return steps <= 0 || steps > seqLen ? seqLen : steps;
    }

    /// <summary>The seed; like run.c's, a negative one is a large unsigned one.</summary>
    public ulong SeedOf(ParseResult result) => result.GetValue(Seed) is var seed and not 0 ? unchecked((ulong)seed) : (ulong)DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    private static float ParseFloat(ArgumentResult result, Func<float, float> clamp)
    {
        string text = result.Tokens[0].Value;
        if (float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && !float.IsNaN(value))
            return clamp(value);
        result.AddError($"{(result.Parent as OptionResult)?.IdentifierToken?.Value}: {text} is not a number");
        return 0;
    }
}
