using Llama2.Cli.Bench;
using Llama2.Simple;

namespace Llama2.Tests.Bench;

public sealed class SamplingTests
{
    private static readonly Effort Short = new(4, TimeSpan.FromMilliseconds(1), TimeSpan.Zero);
    private static readonly Config Config = new(Dim: 8, HiddenDim: 16, LayerCount: 1, HeadCount: 2, KvHeadCount: 1, VocabSize: 300, SeqLen: 32);

    [Fact]
    public void Rates_are_those_of_the_work()
    {
        using TestFolder folder = new();
        ForwardScenario scenario = Make(new Sleeper(TimeSpan.FromMilliseconds(5)), tokens: 8, Phase.Decode);
        IReadOnlyList<double> samples = Assert.Single(Sampling.Run([scenario], folder.Path));
        Assert.Null(scenario.Error);
        Assert.Equal(4, samples.Count);
        Assert.All(samples, rate => Assert.InRange(rate, 0.1, 200.1)); // at most one token in 5 ms
    }

    [Fact]
    public void Decode_feeds_one_row_at_a_time_and_prefill_all()
    {
        using TestFolder folder = new();
        Sleeper decoder = new(TimeSpan.Zero), prefiller = new(TimeSpan.Zero);
        Sampling.Run([Make(decoder, 8, Phase.Decode), Make(prefiller, 8, Phase.Prefill)], folder.Path);
        Assert.Equal([1], decoder.RowsPerCall);
        Assert.Equal([8], prefiller.RowsPerCall);
        Assert.True(decoder.IsDisposed && prefiller.IsDisposed);
    }

    [Fact]
    public void A_scenario_that_throws_leaves_the_others_alone()
    {
        using TestFolder folder = new();
        ForwardScenario bad = Make(new Sleeper(TimeSpan.Zero) { Fails = true }, 8, Phase.Decode), good = Make(new Sleeper(TimeSpan.Zero), 8, Phase.Decode);
        IReadOnlyList<IReadOnlyList<double>> samples = Sampling.Run([bad, good], folder.Path);
        Assert.IsType<InvalidOperationException>(bad.Error);
        Assert.Empty(samples[0]);
        Assert.Equal(4, samples[1].Count);
    }

    [Fact]
    public void Peers_take_turns_with_samples()
    {
        Assert.SkipUnless(File.Exists("/bin/sh"), "the peer here is a script of /bin/sh");
        using TestFolder folder = new();
        using TemporaryFile log = new([]);
        Peer peer = Peer.Parse($"p=/bin/sh -c 'echo B >> {log.Path}; echo achieved tok/s: 5'", Peer.DefaultPattern, TimeSpan.FromSeconds(60));
        Sleeper ours = new(TimeSpan.Zero) { OnDecode = () => File.AppendAllText(log.Path, "A\n") };
        ForwardScenario scenario = Make(ours, tokens: 1, Phase.Decode, new PeerTurn(peer, new PeerInputs("", "", 1, 1), []), new Effort(4, TimeSpan.Zero, TimeSpan.Zero));
        Sampling.Run([scenario], folder.Path);
        Assert.Equal([5, 5, 5, 5], Assert.Single(scenario.Peers).Samples);
        Assert.Equal("A B B A B A B A B A", string.Join(' ', File.ReadAllLines(log.Path))); // A B to warm up, then B A for each sample
    }

    [Fact]
    public void A_peer_that_fails_is_not_asked_again()
    {
        Assert.SkipUnless(File.Exists("/bin/sh"), "the peer here is a script of /bin/sh");
        using TestFolder folder = new();
        using TemporaryFile log = new([]);
        Peer peer = Peer.Parse($"p=/bin/sh -c 'echo asked >> {log.Path}; exit 1'", Peer.DefaultPattern, TimeSpan.FromSeconds(60));
        PeerTurn turn = new(peer, new PeerInputs("", "", 1, 1), []);
        ForwardScenario[] scenarios = [Make(new Sleeper(TimeSpan.Zero), 1, Phase.Decode, turn), Make(new Sleeper(TimeSpan.Zero), 1, Phase.Decode, turn)];
        Assert.All(Sampling.Run(scenarios, folder.Path), samples => Assert.Equal(4, samples.Count));
        Assert.Equal(["asked"], File.ReadAllLines(log.Path));
        Assert.All(scenarios, scenario => Assert.Equal("p: it exited with 1", Assert.Single(scenario.Peers).Error));
    }

    private static ForwardScenario Make(Sleeper transformer, int tokens, Phase phase, PeerTurn? peer = null, Effort? effort = null) => new(
        new RowKey("m", "simple", "float32", null, 1, phase), tokens, batchSize: 128, () => transformer, peer is null ? [] : [peer], effort ?? Short, CancellationToken.None);

    /// <summary>A model that only takes its time.</summary>
    private sealed class Sleeper(TimeSpan perCall) : ITransformer
    {
        public bool Fails { get; init; }

        public Action? OnDecode { get; init; }

        public SortedSet<int> RowsPerCall { get; } = [];

        public bool IsDisposed { get; private set; }

        public Config Config => SamplingTests.Config;

        public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
        {
            if (Fails)
                throw new InvalidOperationException("it fails");
            Rows.Prepare(Config, rows, output);
            RowsPerCall.Add(rows.Length);
            foreach (Row row in rows)
                row.Cache.Advance();
            OnDecode?.Invoke();
            Thread.Sleep(perCall);
        }

        public void Dispose() => IsDisposed = true;
    }
}
