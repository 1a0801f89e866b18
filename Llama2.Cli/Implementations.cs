using System.CommandLine;
using System.Globalization;
using Llama2.Cli.Commands;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli;

/// <summary>The implementations of the model, and the options that choose among them.</summary>
internal sealed class Implementations
{
    public static readonly string[] Names = ["fast", "simple"];

    public static string Default => Names[0];

    private readonly Option<string> _name = new("--impl") { Description = "implementation: " + string.Join(" or ", Names), HelpName = "name", DefaultValueFactory = _ => Default };

    private readonly Option<int> _threads = new("--threads") { Description = $"threads of fast; default: one for each core, here {FastTransformer.DefaultThreads}", HelpName = "int" };

    private readonly Option<string?> _quantize = new("--quantize") { Description = "q8_0: a float32 checkpoint becomes int8 as it is loaded", HelpName = "type" };

    public Implementations()
    {
        _name.AcceptOnlyFromAmong(Names);
        _quantize.AcceptOnlyFromAmong("q8_0");
        _threads.Validators.Add(result =>
        {
            if (int.TryParse(result.Tokens[0].Value, NumberStyles.Integer, CultureInfo.InvariantCulture, out int threads) && threads is < 1 or > 1024)
                result.AddError($"--threads: expected 1 to 1024, found {result.Tokens[0].Value}");
        });
    }

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_name, _threads, _quantize])
            command.Add(option);
    }

    /// <summary>The name of what was chosen.</summary>
    public string NameIn(ParseResult result) => result.GetValue(_name)!;

    /// <summary>The weights to run: the checkpoint's, or int8 ones made of them.</summary>
    public Weights WeightsOf(ParseResult result, Checkpoint checkpoint) => result.GetValue(_quantize) is not null && checkpoint.Header.Version < 2
        ? WeightQuantizer.Quantize(checkpoint.Weights, QuantizeCommand.GroupSize(checkpoint.Config), result.GetValue(_threads))
        : checkpoint.Weights;

    /// <summary>What was chosen, to run weights with.</summary>
    public ITransformer Create(ParseResult result, Config config, Weights weights) => Create(NameIn(result), config, weights, result.GetValue(_threads));

    public static ITransformer Create(string name, Config config, Weights weights, int threads = 0) =>
        name == "simple" ? new Transformer(config, weights) : new FastTransformer(config, weights, threads);

    /// <summary>Tokens of a prompt a forward pass: simple gains nothing by more, and Ctrl-C is heard between passes.</summary>
    public static int BatchSize(string name) => name == "simple" ? 1 : 128;
}
