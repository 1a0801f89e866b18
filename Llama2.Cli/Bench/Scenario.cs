using System.Diagnostics;
using Llama2.Simple;

namespace Llama2.Cli.Bench;

/// <summary>How long to measure.</summary>
/// <param name="Samples">Samples of each row.</param>
/// <param name="SampleTime">How long a sample lasts at least; the work is repeated within it.</param>
/// <param name="WarmUp">How long the work runs before the first sample, so that the JIT has done its best by then.</param>
internal sealed record Effort(int Samples, TimeSpan SampleTime, TimeSpan WarmUp)
{
    public static readonly Effort Quick = new(5, TimeSpan.FromMilliseconds(200), TimeSpan.FromMilliseconds(500));
    public static readonly Effort Full = new(7, TimeSpan.FromMilliseconds(600), TimeSpan.FromMilliseconds(1000));
}

/// <summary>A peer that is run in turn with a scenario.</summary>
internal sealed record PeerTurn(Peer Peer, PeerInputs Inputs);

/// <summary>
/// One row to be: a model, an implementation, a number of threads and a phase. BenchmarkDotNet calls <see cref="SetUp"/>,
/// then for each sample <see cref="BeforeSample"/> and <see cref="Sample"/>, then <see cref="CleanUp"/>. None of these
/// throws, since the runner would not live through it: the first error ends the work and is the result.
/// </summary>
internal sealed class Scenario(RowKey key, int tokens, int batchSize, Func<ITransformer> create, IReadOnlyList<PeerTurn> peers, Effort effort, CancellationToken cancellation)
{
    private readonly List<double>[] _peerSamples = [.. peers.Select(_ => new List<double>())];
    private readonly PeerException?[] _peerErrors = new PeerException?[peers.Count];
    private ITransformer? _transformer;
    private Session? _session;
    private int[] _prompt = []; // (tokens,)

    public RowKey Key { get; } = key;

    public Effort Effort { get; } = effort;

    /// <summary>How often a sample repeats its work.</summary>
    public int Repeats { get; private set; } = 1;

    /// <summary>Tokens that a sample computes.</summary>
    public long TokensPerSample => (long)tokens * Repeats;

    /// <summary>What went wrong, or null.</summary>
    public Exception? Error { get; private set; }

    public IReadOnlyList<PeerSamples> Peers =>
        [.. peers.Select((turn, i) => new PeerSamples(turn.Peer.Name, turn.Inputs.Threads, _peerSamples[i], _peerErrors[i]?.Message))];

    public void SetUp() => Try(() =>
    {
        _transformer = create();
        _session = new Session(_transformer, new Sampler(_transformer.Config.VocabSize, temperature: 0, topp: 0, seed: 1)) { BatchSize = batchSize };
        _prompt = [.. Enumerable.Range(0, tokens).Select(i => i == 0 ? Tokenizer.Bos : (int)(i * 7919L % _transformer.Config.VocabSize))];
        long start = Stopwatch.GetTimestamp(), last;
        do
        {
            last = Stopwatch.GetTimestamp();
            RunOnce(_session);
        }
        while (Stopwatch.GetElapsedTime(start) < Effort.WarmUp);
        Repeats = (int)Math.Clamp(Effort.SampleTime / Stopwatch.GetElapsedTime(last), 1, 1_000_000);
        RunPeers(keep: false); // brings the file into memory, and a peer that fails to light
    });

    public void BeforeSample() => Try(() => RunPeers(keep: true));

    public void Sample() => Try(() =>
    {
        for (int i = 0; i < Repeats; i++)
            RunOnce(_session!);
    });

    public void CleanUp()
    {
        _transformer?.Dispose();
        (_transformer, _session) = (null, null); // the caches of all scenarios together may be more than memory
    }

    private void Try(Action action)
    {
        if (Error is not null)
            return;
        try
        {
            action();
        }
        catch (Exception e)
        {
            Error = e;
        }
    }

    private void RunOnce(Session session)
    {
        session.Truncate(0);
        if (Key.Phase == Phase.Prefill)
        {
            session.Feed(_prompt, cancellation);
            return;
        }
        int token = Tokenizer.Bos;
        for (int position = 0; position < tokens; position++)
        {
            session.Feed([token], cancellation);
            token = session.Sample();
        }
    }

    private void RunPeers(bool keep)
    {
        for (int i = 0; i < peers.Count; i++)
        {
            if (_peerErrors[i] is not null)
                continue;
            try
            {
                double rate = peers[i].Peer.Run(peers[i].Inputs, cancellation);
                if (keep)
                    _peerSamples[i].Add(rate);
            }
            catch (PeerException e)
            {
                _peerErrors[i] = e;
            }
        }
    }
}
