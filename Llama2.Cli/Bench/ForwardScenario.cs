using Llama2.Fast;
using Llama2.Simple;

namespace Llama2.Cli.Bench;

/// <summary>A peer that is run in turn with a scenario.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="Inputs">What it is told.</param>
/// <param name="Failed">The peers that failed with this model; they are not run again, since they may take their time to fail.</param>
internal sealed record PeerTurn(Peer Peer, PeerInputs Inputs, Dictionary<Peer, PeerException> Failed);

/// <summary>One row to be: a model, an implementation, a number of threads and a phase. Its work is tokens.</summary>
internal sealed class ForwardScenario(
    RowKey key, int tokens, int batchSize, Func<ITransformer> create, IReadOnlyList<PeerTurn> peers, Effort effort, CancellationToken cancellation) : Scenario(effort, cancellation)
{
    private readonly List<double>[] _peerSamples = [.. peers.Select(_ => new List<double>())];
    private ITransformer? _transformer;
    private Session? _session;
    private int[] _prompt = []; // (tokens,)

    public RowKey Key { get; } = key;

    public override double Work => tokens;

    /// <summary>The kernel that computed, or null where there is only one way.</summary>
    public string? Kernel { get; private set; }

    /// <summary>Bytes that choosing a token reads instead of the classifier, or 0.</summary>
    public long ShortlistBytes { get; private set; }

    public IReadOnlyList<PeerSamples> Peers =>
        [.. peers.Select((turn, i) => new PeerSamples(turn.Peer.Name, turn.Inputs.Threads, _peerSamples[i], turn.Failed.GetValueOrDefault(turn.Peer)?.Message))];

    protected override void Prepare()
    {
        _transformer = create();
        FastTransformer? fast = _transformer as FastTransformer;
        (Kernel, ShortlistBytes) = (fast?.KernelName, fast?.ShortlistBytes ?? 0);
        _session = new Session(_transformer, new Sampler(_transformer.Config.VocabSize, temperature: 0, topp: 0, seed: 1)) { BatchSize = batchSize };
        _prompt = [.. Enumerable.Range(0, tokens).Select(i => i == 0 ? Tokenizer.Bos : (int)(i * 7919L % _transformer.Config.VocabSize))];
    }

    protected override void RunOnce()
    {
        Session session = _session!;
        session.Truncate(0);
        if (Key.Phase == Phase.Prefill)
        {
            session.Feed(_prompt, Cancellation);
            _ = session.Logits; // computed now, and a part of what is measured
            return;
        }
        int token = Tokenizer.Bos;
        for (int position = 0; position < tokens; position++)
        {
            session.Feed([token], Cancellation);
            token = session.Sample();
        }
    }

    protected override void TakeTurns(bool isSample)
    {
        foreach ((int i, PeerTurn turn) in peers.Index())
        {
            if (turn.Failed.ContainsKey(turn.Peer))
                continue;
            try
            {
                double rate = turn.Peer.Run(turn.Inputs, Cancellation);
                if (isSample)
                    _peerSamples[i].Add(rate);
            }
            catch (PeerException e)
            {
                turn.Failed.Add(turn.Peer, e);
            }
        }
    }

    protected override void Release()
    {
        _transformer?.Dispose();
        (_transformer, _session) = (null, null); // the caches of all scenarios together may be more than memory
    }
}
