using System.CommandLine;
using System.Globalization;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Fast;

namespace Llama2.Cli.Options;

/// <summary>The options that name a model and choose its implementation.</summary>
internal sealed class ModelOptions
{
    private const string Silent = "--silent";

    private readonly Argument<string?> _checkpoint;
    private readonly Option<string?> _checkpointOption, _tokenizer, _quantize;
    private readonly Option<string> _implementation;
    private readonly Option<int> _threads;

    public ModelOptions(Command command, bool isRequired = false)
    {
        _checkpoint = AddCheckpoint(command, "checkpoint", isRequired);
        _checkpointOption = command.AddOption<string?>("--checkpoint -checkpoint --model", "file", "the same, as an option");
        _tokenizer = AddTokenizer(
            command, "NAME.tokenizer.bin or tokenizer.bin beside the checkpoint, else tokenizer.bin here, in weights/ or your folder");
        string[] names = LoadedModel.Implementations;
        _implementation = command.AddChoice("--impl", "name", "implementation: " + string.Join(" or ", names), names);
        _threads = command.AddOption<int>(
            "--threads", "int", $"threads of fast; default: one for each core, here {FastTransformer.DefaultThreads}");
        _quantize = command.AddOption<string?>("--quantize", "type",
            $"{string.Join(" or ", LoadedModel.QuantizedTypes)}: floats become 8 or 4 bits as they are loaded");
        _quantize.AcceptOnlyFrom(LoadedModel.QuantizedTypes);
        command.AddFlag(Silent, "nothing on stderr but errors");
        _threads.Validators.Add(result =>
        {
            string text = result.Tokens[^1].Value;
            if (int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int threads) && threads is < 1 or > 1024)
                result.AddError($"--threads: expected 1 to 1024, found {text}");
        });
    }

    /// <summary>The argument of every command that takes a model.</summary>
    public static Argument<string?> AddCheckpoint(Command command, string name, bool isRequired = false)
    {
        string description = "file of llama2.c or GGUF, or the name of a model that list shows";
        return isRequired ? command.AddArgument<string?>(name, description, ArgumentArity.ExactlyOne)
            : command.AddArgument<string?>(name, description + "; default: the model that ships", ArgumentArity.ZeroOrOne);
    }

    /// <summary>The option of every command that takes a tokenizer.</summary>
    public static Option<string?> AddTokenizer(Command command, string theDefault) =>
        command.AddOption<string?>("--tokenizer -tokenizer -z", "file", "tokenizer; default: " + theDefault);

    /// <summary>Whether notes on stderr are unwanted.</summary>
    public static bool IsSilent(ParseResult result) => result.GetValue<bool>(Silent);

    /// <summary>Opens the model and says on stderr which it is.</summary>
    public LoadedModel Load(ParseResult result)
    {
        string? argument = result.GetValue(_checkpoint), option = result.GetValue(_checkpointOption), name = argument ?? option;
        UsageException.ThrowIf(option is not null && name != option, $"{argument} and --checkpoint {option}: only one of them");
        ModelSource source = ModelFiles.FindCheckpoint(name);
        if (source.Resource is null && !Path.Exists(source.Path) && DidYouMean.Answer(source.Path) is { } answer)
            throw new UsageException(answer);
        LoadedModel model = new(source, result.GetValue(_tokenizer), result.GetValue(_implementation)!, result.GetValue(_threads),
            result.GetValue(_quantize));
        if (!IsSilent(result))
            Notes.Write(model.Describe());
        return model;
    }
}
