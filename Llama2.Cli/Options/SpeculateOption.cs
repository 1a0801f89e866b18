using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Options;

/// <summary>The option that says how tokens are guessed ahead.</summary>
internal sealed class SpeculateOption(Command command)
{
    private readonly Option<string> _speculate = command.AddChoice("--speculate", "how",
        "guess tokens, so that several are computed at once: with an int8 copy of the model (self), by looking up what the text had before "
        + "(lookup), where it pays (auto), or not; the text is the same", Speculation.Modes);

    /// <summary>How this model's tokens are guessed.</summary>
    /// <exception cref="UsageException">The model has no smaller copy.</exception>
    public Speculation For(ParseResult result, LoadedModel model)
    {
        string mode = result.GetValue(_speculate)!;
        UsageException.ThrowIf(mode == Speculation.Self && !model.Weights.AreFloat32,
            $"--speculate self: expected a float32 model, found {model.Weights.Classifier.Describe()}, of which no smaller copy is made");
        bool isOff = model.Implementation == LoadedModel.Simple && result.IsGiven(_speculate) && mode != Speculation.Off;
        if (isOff && !ModelOptions.IsSilent(result))
            Notes.Write("speculation: off, since simple computes rows one by one");
        return new Speculation(model, mode);
    }
}
