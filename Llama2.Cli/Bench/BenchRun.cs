using System.Reflection;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>What to measure.</summary>
internal sealed record BenchOptions
{
    /// <summary>Which single operations to measure instead of models (--micro), or null.</summary>
    public string? Micro { get; init; }

    /// <summary>Models by name or path, and shapes.</summary>
    public required IReadOnlyList<(string Text, bool IsShape)> Models { get; init; }

    public required IReadOnlyList<int> Threads { get; init; }

    /// <summary>Tokens of a sample, or null for what suits the model.</summary>
    public int? Steps { get; init; }

    public bool Quick { get; init; }

    public bool Kernels { get; init; }

    public IReadOnlyList<Peer> Peers { get; init; } = [];

    /// <summary>Tokenizer for the peers, or null for the model's own.</summary>
    public string? Tokenizer { get; init; }

    /// <summary>The arguments of the command.</summary>
    public string Command { get; init; } = "";
}

/// <summary>Measures models, one after the other. One that fails does not keep the others from being measured.</summary>
/// <param name="options">What to measure.</param>
/// <param name="progress">Told what goes on and what goes wrong, a line each.</param>
/// <param name="cancellation">Stops at the next token.</param>
internal sealed class BenchRun(BenchOptions options, Action<string> progress, CancellationToken cancellation)
{
    /// <summary>Models with more parameters are measured on fewer tokens, so that the reference does not take all day.</summary>
    private const long Large = 50_000_000;

    private readonly Dictionary<(long Bytes, int Threads), double> _bandwidths = [];
    private readonly Dictionary<(bool Int8, int Threads), double> _peaks = [];

    /// <summary>0, or the exit code that the first error asks for.</summary>
    public int ExitCode { get; private set; }

    public BenchReport Run() => options.Micro is { } filter
        ? Report([], [], MicroRun.Run(filter, options.Quick, progress, cancellation))
        : RunModels();

    private BenchReport Report(IReadOnlyList<BenchModel> models, IReadOnlyList<BenchRow> rows, IReadOnlyList<MicroRow> micro) =>
        new(BenchReport.CurrentSchema, DateTimeOffset.UtcNow, Version, options.Command, Sampling.Machine(), models, rows, micro);

    private BenchReport RunModels()
    {
        List<BenchModel> models = [];
        List<BenchRow> rows = [];
        foreach ((string text, bool isShape) in options.Models)
        {
            string name = isShape ? text + " (random weights)" : Path.GetFileName(text);
            if (models.Any(model => model.Name == name))
                name = text;
            try
            {
                progress($"{name}: {(isShape ? "making weights" : "opening")}");
                using ModelUnderTest model = new(name, isShape ? null : ModelFiles.FindCheckpoint(text), isShape ? Shape.Parse(text) : null, options.Tokenizer, cancellation);
                int tokens = Tokens(model);
                models.Add(new BenchModel(name, Work.Parameters(model.Checkpoint.Header), tokens));
                rows.AddRange(Measure(model, tokens));
            }
            catch (Exception e) when (e is UsageException or ModelFileException or IOException or UnauthorizedAccessException or OutOfMemoryException)
            {
                Failed(e.Message, e is UsageException ? Program.BadUsage : Program.BadFile);
                models.Add(new BenchModel(name, 0, 0, e.Message));
            }
        }
        return Report(models, rows, []);
    }

    /// <summary>Version and commit of this program.</summary>
    public static string Version =>
        typeof(BenchRun).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    private void Failed(string message, int exitCode)
    {
        progress(message);
        ExitCode = ExitCode == 0 ? exitCode : ExitCode;
    }

    private int Tokens(ModelUnderTest model)
    {
        int tokens = options.Steps ?? (Work.Parameters(model.Checkpoint.Header) <= Large ? 256 : options.Quick ? 16 : 64);
        return Math.Clamp(tokens, 1, model.Config.SeqLen);
    }

    private List<BenchRow> Measure(ModelUnderTest model, int tokens)
    {
        Effort effort = options.Quick ? Effort.Quick : Effort.Full;
        List<(ForwardScenario Scenario, Candidate Candidate)> scenarios = [];
        Dictionary<Peer, PeerException> failedPeers = [];
        foreach (Candidate candidate in Candidates(model))
        {
            foreach (Phase phase in Enum.GetValues<Phase>())
            {
                RowKey key = new(model.Name, candidate.Implementation, candidate.Weights.Kind, candidate.Asked, candidate.Threads, phase);
                IReadOnlyList<PeerTurn> peers = phase == Phase.Decode ? PeersFor(model, candidate, tokens, failedPeers) : [];
                scenarios.Add((new ForwardScenario(
                    key, tokens, Implementations.BatchSize(candidate.Implementation), Announced(key, candidate.Create), peers, effort, cancellation), candidate));
            }
        }
        IReadOnlyList<IReadOnlyList<double>> samples = Sampling.Run([.. scenarios.Select(pair => pair.Scenario)], model.Folder);
        cancellation.ThrowIfCancellationRequested();
        foreach (PeerException error in failedPeers.Values)
            Failed(error.Message, Program.BadUsage);
        return [.. scenarios.Select((pair, i) => ToRow(pair.Scenario, pair.Candidate, tokens, samples[i]))];
    }

    private Func<ITransformer> Announced(RowKey key, Func<ITransformer> create) => () =>
    {
        progress(key.ToString());
        return create();
    };

    private BenchRow ToRow(ForwardScenario scenario, Candidate candidate, int tokens, IReadOnlyList<double> samples)
    {
        RowKey key = scenario.Key;
        CheckpointHeader header = candidate.Weights.Header;
        if (scenario.Error is { } error)
            Failed($"{key}: {error.Message}", Program.BadFile);
        if (Statistics.Spread(samples) > Statistics.Noisy)
            progress($"{key}: too noisy to tell: the samples spread over {Statistics.Spread(samples):P0} of their median");
        return new BenchRow(
            key, scenario.Kernel,
            key.Phase == Phase.Decode ? Work.DecodeBytes(header, tokens, scenario.ShortlistBytes) : Work.PrefillOperations(header, tokens),
            key.Phase == Phase.Decode ? Bandwidth(Work.WeightBytes(header, scenario.ShortlistBytes), key.Threads) : Peak(header.Version == 2, key.Threads),
            samples, scenario.Peers, scenario.Error?.Message);
    }

    private double Bandwidth(long bytes, int threads) => _bandwidths.TryGetValue((bytes, threads), out double known)
        ? known
        : _bandwidths[(bytes, threads)] = Limits.ReadBandwidth(bytes, threads);

    private double Peak(bool int8, int threads) => _peaks.TryGetValue((int8, threads), out double known)
        ? known
        : _peaks[(int8, threads)] = int8 ? Limits.Int8Peak(threads) : Limits.FmaPeak(threads);

    private IReadOnlyList<PeerTurn> PeersFor(ModelUnderTest model, Candidate candidate, int tokens, Dictionary<Peer, PeerException> failed) => options.Peers.Count == 0 ? [] :
        [.. options.Peers.Select(peer => new PeerTurn(peer, new PeerInputs(
            Path.GetFullPath(model.Checkpoint.Path), model.TokenizerPath(), tokens, candidate.Implementation == "simple" ? options.Threads.Max() : candidate.Threads), failed))];

    /// <summary>An implementation to measure.</summary>
    /// <param name="Implementation">Its name.</param>
    /// <param name="Weights">What it runs.</param>
    /// <param name="Asked">The kernel that --kernels asks for, or null.</param>
    /// <param name="Threads">Threads that compute.</param>
    /// <param name="Create">Makes it.</param>
    private sealed record Candidate(string Implementation, WeightsUnderTest Weights, string? Asked, int Threads, Func<ITransformer> Create);

    private IEnumerable<Candidate> Candidates(ModelUnderTest model)
    {
        Config config = model.Config;
        yield return new Candidate("simple", model.Weights[0], null, 1, () => Implementations.Create("simple", config, model.Weights[0].Weights));
        foreach (WeightsUnderTest weights in model.Weights)
        {
            foreach (int threads in options.Threads)
            {
                if (!options.Kernels)
                    yield return new Candidate("fast", weights, null, threads, () => Implementations.Create("fast", config, weights.Weights, threads));
                foreach (string kernel in options.Kernels ? FastTransformer.KernelNames : [])
                    yield return new Candidate("fast", weights, kernel, threads, () => new FastTransformer(config, weights.Weights, threads, kernel));
            }
        }
    }
}
