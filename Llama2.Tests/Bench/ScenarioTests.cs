using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ScenarioTests
{
    private readonly List<string> _log = [];

    [Fact]
    public void Samples_are_taken_in_turns()
    {
        Scenario[] all = [Logged("a"), Logged("b"), Logged("c")];
        Scenario.Measure(all, samples: 3, progress: _ => { });
        Assert.Equal("warm a, warm b, warm c, a, b, c, a, b, c, a, b, c", string.Join(", ", _log));
        Assert.All(all, scenario => Assert.Equal([5, 5, 5], scenario.Row.Samples));
    }

    [Fact]
    public void A_scenario_that_fails_is_left_out_from_then_on()
    {
        Scenario good = Logged("a");
        Scenario once = Logged("b") with { Sample = () => good.Row.Samples.Count > 1 ? throw new UsageException("it fails") : 7 };
        Scenario never = Logged("c") with { WarmUp = () => throw new InvalidOperationException("at once") };
        Scenario.Measure([good, once, never], samples: 3, progress: _ => { });
        Assert.Equal("warm a, warm b, a, a, a", string.Join(", ", _log));
        Assert.Equal([5, 5, 5], good.Row.Samples);
        Assert.Equal([7], once.Row.Samples);
        Assert.Equal((null, "it fails", "at once"), (good.Error, once.Error?.Message, never.Error?.Message));
    }

    [Fact]
    public void Ctrl_C_ends_all() => Assert.Throws<OperationCanceledException>(() => Scenario.Measure(
        [Logged("a") with { Sample = () => throw new OperationCanceledException() }, Logged("b")], samples: 3, progress: _ => { }));

    [Theory]
    [InlineData(false, 8, 1)] // a call for each of 8 tokens
    [InlineData(true, 1, 8)] // a call for all
    public void A_rate_is_tokens_by_the_time_of_their_calls(bool prefills, int calls, int rows)
    {
        Counter transformer = new();
        ForwardPasses passes = Passes(prefills ? Phase.Prefill : Phase.Decode, transformer, sampleSeconds: 0, warmUpSeconds: 0);
        passes.WarmUp();
        Assert.Equal(calls, transformer.Calls);
        Assert.Equal(8.0 / calls, passes.Sample(), 6);
        Assert.Equal(2 * calls, transformer.Calls);
        Assert.Equal([rows], transformer.RowsPerCall);
    }

    [Fact]
    public void Passes_are_repeated_until_the_warm_up_is_over_and_to_fill_a_sample()
    {
        Counter transformer = new();
        ForwardPasses passes = Passes(Phase.Prefill, transformer, sampleSeconds: 5.5, warmUpSeconds: 2.5);
        passes.WarmUp();
        Assert.Equal(3, transformer.Calls);
        Assert.Equal(8, passes.Sample(), 6);
        Assert.Equal(3 + 5, transformer.Calls);
    }

    private Scenario Logged(string name) => new(Reports.Row(name, 1, Phase.Decode), () => _log.Add("warm " + name), () =>
    {
        _log.Add(name);
        return 5;
    });

    private static ForwardPasses Passes(Phase phase, Counter transformer, double sampleSeconds, double warmUpSeconds) => new(
        phase, transformer, tokens: 8, new SampleBudget(1, TimeSpan.FromSeconds(sampleSeconds), TimeSpan.FromSeconds(warmUpSeconds)),
        clock: transformer, CancellationToken.None);

    /// <summary>A model and its clock: each call takes a second.</summary>
    private sealed class Counter : TimeProvider, ITransformer
    {
        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Calls;

        public int Calls { get; private set; }

        public SortedSet<int> RowsPerCall { get; } = [];

        public Config Config { get; } = new(Dim: 8, HiddenDim: 16, LayerCount: 1, HeadCount: 2, KvHeadCount: 1, VocabSize: 300, SeqLen: 32);

        public int PreferredRows => 128;

        public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
        {
            RowChecks.Prepare(Config, rows, output);
            foreach (Row row in rows)
                row.Cache.Advance();
            RowsPerCall.Add(rows.Length);
            Calls++;
        }

        public void Dispose()
        {
        }
    }
}
