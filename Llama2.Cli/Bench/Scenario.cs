using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Bench;

/// <param name="SampleTime">A sample repeats its pass for about this long, and at least once.</param>
/// <param name="WarmUp">Time before the first sample, in which the JIT reaches its best code.</param>
internal sealed record SampleBudget(int Samples, TimeSpan SampleTime, TimeSpan WarmUp, int LargeModelTokens = 64)
{
    public static readonly SampleBudget Quick = new(3, TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(300), 16);
    public static readonly SampleBudget Full = new(7, TimeSpan.FromMilliseconds(600), TimeSpan.FromMilliseconds(1000));
}

/// <summary>A row of the report and the work behind it.</summary>
/// <param name="WarmUp">Runs without being measured, so that code is compiled and files are in memory.</param>
/// <param name="Sample">Measures once, in tok/s.</param>
internal sealed record Scenario(BenchRow Row, Action WarmUp, Func<double> Sample)
{
    public Exception? Error { get; private set; } // ends the sampling

    /// <summary>
    /// Takes samples of all scenarios in turns (A B C A B C ...): a slow minute of the machine slows all of them, and their
    /// ratios stay. A scenario that fails is left out from then on.
    /// </summary>
    public static void Measure(IReadOnlyList<Scenario> scenarios, int samples, Action<string> progress)
    {
        foreach (Scenario scenario in scenarios)
        {
            progress($"{scenario.Row.Key}: warming up");
            scenario.Try(scenario.WarmUp);
        }
        progress($"taking {samples} samples of each");
        for (int i = 0; i < samples; i++)
        {
            foreach (Scenario scenario in scenarios)
                scenario.Try(() => scenario.Row.Samples.Add(scenario.Sample()));
        }
    }

    private void Try(Action action)
    {
        try
        {
            if (Error is null)
                action();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            Error = e;
        }
    }
}

/// <summary>Passes of a model over a number of tokens, each from an empty context.</summary>
internal sealed class ForwardPasses(
    Phase phase, ITransformer transformer, int tokens, SampleBudget budget, TimeProvider clock, CancellationToken cancellation)
{
    private readonly Batch _batch = new(transformer);
    private readonly Sequence _sequence = new(transformer.Config, new Sampler(transformer.Config.VocabSize, 0, 0, seed: 1))
    {
        KeepsLogits = phase == Phase.Prefill, // their cost is part of a prefill
    };
    private readonly int[] _prompt = [.. Enumerable.Range(0, tokens).Select(i => (int)((i * 7919L + 1) % transformer.Config.VocabSize))];
    private int _passes = 1; // of a sample

    public void WarmUp()
    {
        long start = clock.GetTimestamp(), last;
        do
        {
            last = clock.GetTimestamp();
            Pass();
        }
        while (clock.GetElapsedTime(start) < budget.WarmUp);
        _passes = (int)Math.Clamp(budget.SampleTime / clock.GetElapsedTime(last), 1, 1e6);
    }

    public double Sample()
    {
        long start = clock.GetTimestamp();
        for (int i = 0; i < _passes; i++)
            Pass();
        return (double)tokens * _passes / clock.GetElapsedTime(start).TotalSeconds;
    }

    private void Pass()
    {
        cancellation.ThrowIfCancellationRequested();
        _sequence.Truncate(0);
        _sequence.Append(phase == Phase.Prefill ? _prompt : _prompt.AsSpan(0, 1));
        _sequence.MaxNewTokens = phase == Phase.Prefill ? 1 : tokens;
        _batch.Add(_sequence);
        while (_batch.Count > 0)
            _batch.Step();
    }
}
