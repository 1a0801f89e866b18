namespace Llama2.Cli.Bench;

/// <summary>Measures single operations (--micro).</summary>
internal static class MicroRun
{
    private static readonly Effort Quick = new(5, TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(50));
    private static readonly Effort Full = new(7, TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(100));

    /// <summary>Runs the operations whose name, shape or kernel contains the filter.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static IReadOnlyList<MicroRow> Run(string filter, bool quick, Action<string> progress, CancellationToken cancellation)
    {
        MicroScenario[] scenarios = [.. MicroScenario.All(quick ? Quick : Full, cancellation)
            .Where(scenario => scenario.ToString().Contains(filter, StringComparison.OrdinalIgnoreCase))];
        if (scenarios.Length == 0)
            throw new UsageException($"--micro {filter}: no operation, shape or kernel is called so");
        progress($"{scenarios.Length} operations");
        using TemporaryFolder folder = new();
        IReadOnlyList<IReadOnlyList<double>> samples = Sampling.Run(scenarios, folder.Folder);
        cancellation.ThrowIfCancellationRequested();

        Dictionary<(Bound, long), double> limits = [];
        foreach (MicroScenario scenario in scenarios)
            limits.TryAdd(LimitKey(scenario), double.NaN);
        foreach ((Bound bound, long bytes) in limits.Keys)
            limits[(bound, bytes)] = bound switch { Bound.Memory => Limits.ReadBandwidth(bytes, 1), Bound.Float => Limits.FmaPeak(1), _ => Limits.Int8Peak(1) };
        return [.. scenarios.Select((scenario, i) =>
            new MicroRow(scenario.Operation, scenario.Kernel, scenario.Shape, scenario.Unit, limits[LimitKey(scenario)], samples[i], scenario.Error?.Message))];
    }

    private static (Bound, long) LimitKey(MicroScenario scenario) => (scenario.Bound, scenario.Bound == Bound.Memory ? scenario.Bytes : 0);
}
