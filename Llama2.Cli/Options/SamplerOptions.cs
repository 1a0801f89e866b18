using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Llama2.Cli.Models;
using Llama2.Simple;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Cli.Options;

/// <summary>The options of run.c's sampler, with its clamps, under its names, llama2.go's and long ones.</summary>
internal sealed class SamplerOptions(Command command)
{
    private readonly Option<float> _temperature = AddFloat(
        command, "--temperature -temperature -t", "temperature in [0,inf], 0 is greedy", 1, value => value < 0 ? 0 : value);

    private readonly Option<float> _topP = AddFloat(command, "--top-p --topp -topp -p",
        "p value in top-p (nucleus) sampling in [0,1]", 0.9f, value => value is < 0 or > 1 ? 0.9f : value);

    private readonly Option<long> _seed = command.AddOption<long>("--seed -seed -s", "int", "random seed, 0 takes the time");

    /// <summary>A new sampler, or a saved one in which the options that were written replace the saved values.</summary>
    public ISampler Create(ParseResult result, LoadedModel model, SavedSession? saved)
    {
        float temperature = saved is null || result.IsGiven(_temperature) ? result.GetValue(_temperature) : saved.Temperature;
        float topp = saved is null || result.IsGiven(_topP) ? result.GetValue(_topP) : saved.TopP;
        return model.CreateSampler(temperature, topp, GivenSeed(result) ?? saved?.RandomState ?? SeedOf(0));
    }

    /// <summary>The seed if one was written.</summary>
    public ulong? GivenSeed(ParseResult result) => result.IsGiven(_seed) ? SeedOf(result.GetValue(_seed)) : null;

    // as in run.c, a negative seed is a large unsigned one
    private static ulong SeedOf(long value) => value != 0 ? unchecked((ulong)value) : (ulong)DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    private static Option<float> AddFloat(Command command, string names, string description, float defaultValue, Func<float, float> clamp)
    {
        Option<float> option = command.AddOption(names, "float", description, () => defaultValue);
        option.CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && !float.IsNaN(value))
                return clamp(value);
            result.AddError($"{(result.Parent as OptionResult)?.IdentifierToken?.Value}: {text} is not a number");
            return 0;
        };
        return option;
    }
}
