using System.Reflection;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Fast;

namespace Llama2.Cli.Bench;

/// <param name="Models">Shapes, or models by name or path, of which null is the one that ships.</param>
/// <param name="Steps">Tokens of a pass, or null for a number that suits the model.</param>
/// <param name="Tokenizer">For the peers; null for the model's own.</param>
internal sealed record BenchOptions(
    IReadOnlyList<(string? Text, bool IsShape)> Models, IReadOnlyList<int> Threads, int? Steps, SampleBudget Budget, bool Kernels,
    IReadOnlyList<Peer> Peers, string? Tokenizer, string Command);

/// <summary>Measures models one after the other; if one fails, the others are still measured.</summary>
/// <param name="progress">Gets a line for each step and each error.</param>
internal sealed class BenchRun(BenchOptions options, Action<string> progress, CancellationToken cancellation)
{
    private const long LargeModel = 50_000_000; // parameters; a larger one runs fewer tokens, so that simple does not take minutes

    public int? FailureCode { get; private set; } // the exit code of the first error

    public BenchReport Run()
    {
        List<BenchRow> rows = [];
        foreach ((string? text, bool isShape) in options.Models)
        {
            string name = isShape ? text + " (random weights)" : Path.GetFileName(text ?? ModelSource.Shipped.Name);
            name = rows.Any(row => row.Key.Model == name) ? text ?? name : name;
            try
            {
                progress($"{name}: {(isShape ? "making weights" : "opening")}");
                using ModelUnderTest model = new(text, isShape, cancellation);
                int tokens = options.Steps ?? (model.Parameters <= LargeModel ? 256 : options.Budget.LargeModelTokens);
                Scenario[] scenarios = [.. Scenarios(name, model, Math.Min(tokens, model.Config.SeqLen))];
                Scenario.Measure(scenarios, options.Budget.Samples, progress);
                Array.ForEach(scenarios, Check);
                rows.AddRange(scenarios.Select(scenario => scenario.Row));
            }
            catch (Exception e) when (ExitCode.Of(e) is not null)
            {
                Fail(e.Message, e);
            }
        }
        string? version = typeof(BenchRun).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;
        return new BenchReport(BenchReport.CurrentSchema, DateTimeOffset.UtcNow, $"{version}", options.Command, Machine.Current, rows);
    }

    private void Check(Scenario scenario)
    {
        BenchRow row = scenario.Row;
        if (scenario.Error is { } error)
            Fail($"{row.Key}: {error.Message}", error);
        if (row.Spread > BenchRow.Noisy)
            progress($"{row.Key}: too noisy to tell: the samples spread over {row.Spread:P0} of their median");
    }

    private void Fail(string message, Exception error)
    {
        progress(message);
        FailureCode ??= ExitCode.Of(error) ?? ExitCode.BadFile;
    }

    private IEnumerable<Scenario> Scenarios(string name, ModelUnderTest model, int tokens)
    {
        foreach (Candidate candidate in model.Candidates(options.Threads, options.Kernels))
        {
            FastTransformer? fast = candidate.Transformer as FastTransformer;
            foreach (Phase phase in Enum.GetValues<Phase>())
            {
                RowKey key = new(name, candidate.Name, candidate.Threads, phase);
                BenchRow row = new(key, IsPeer: false, tokens, fast?.KernelName, null, null, []);
                if (phase == Phase.Decode)
                    row = Roofline.AddTo(row, model.Config, candidate.Weights, fast?.ShortlistBytes ?? 0);
                ForwardPasses passes = new(phase, candidate.Transformer, tokens, options.Budget, TimeProvider.System, cancellation);
                yield return new Scenario(row, passes.WarmUp, passes.Sample);
            }
        }
        Lazy<string> gguf = new(model.GgufPath);
        foreach ((Peer peer, int threads) in from peer in options.Peers from threads in options.Threads select (peer, threads))
        {
            BenchRow row = new(new RowKey(name, peer.Name, threads, Phase.Decode), IsPeer: true, tokens, null, null, null, []);
            PeerInputs inputs = new(model.ModelPath(), options.Tokenizer ?? model.TokenizerPath(), gguf, tokens, threads);
            yield return new Scenario(row, () => peer.Run(inputs, cancellation), () => peer.Run(inputs, cancellation));
        }
    }
}
