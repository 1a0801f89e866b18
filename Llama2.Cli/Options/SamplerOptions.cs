using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Cli.Options;

/// <summary>The options of run.c's sampler, with its clamps, under its names, llama2.go's and long ones.</summary>
internal sealed class SamplerOptions(Command command)
{
    private const float DefaultTopP = 0.9f;

    private readonly Option<float> _temperature = command.AddOption(
        "--temperature -temperature -t", "float", "temperature in [0,inf], 0 is greedy", () => 1f);

    private readonly Option<float> _topP = command.AddOption(
        "--top-p --topp -topp -p", "float", "p value in top-p (nucleus) sampling in [0,1]", () => DefaultTopP);

    private readonly Option<long> _seed = command.AddOption<long>("--seed -seed -s", "int",
        "random seed of 64 bits (run.c keeps the lower 32); without one, or with 0, a new one each time, which stderr shows");

    private long _newSeed; // for all texts of a run
    private bool _isShown;

    public float Temperature(ParseResult result, SavedSession? saved) =>
        saved is null || result.IsGiven(_temperature) ? Math.Max(0, result.GetValue(_temperature)) : saved.Temperature;

    /// <summary>A new sampler, or a saved one in which the options that were written replace the saved values.</summary>
    public ISampler Create(ParseResult result, LoadedModel model, SavedSession? saved)
    {
        float temperature = Temperature(result, saved);
        float topp = saved is null || result.IsGiven(_topP) ? result.GetValue(_topP) : saved.TopP;
        ulong seed = GivenSeed(result) ?? saved?.RandomState ?? SeedOf(0);
        if (seed == (ulong)_newSeed && temperature > 0 && !_isShown && !ModelOptions.IsSilent(result))
        {
            Notes.Write($"seed: {seed}");
            _isShown = true;
        }
        return model.CreateSampler(temperature, topp is < 0 or > 1 ? DefaultTopP : topp, seed);
    }

    /// <summary>The seed if one was written.</summary>
    public ulong? GivenSeed(ParseResult result) => result.IsGiven(_seed) ? SeedOf(result.GetValue(_seed)) : null;

    // as in run.c, a negative seed is a large unsigned one; a new one is a number that run.c can take, too
    private ulong SeedOf(long value)
    {
        if (value == 0 && _newSeed == 0)
            _newSeed = Random.Shared.Next(1, int.MaxValue);
        return unchecked((ulong)(value != 0 ? value : _newSeed));
    }
}
