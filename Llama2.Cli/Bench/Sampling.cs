using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Environments;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Parameters;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;

namespace Llama2.Cli.Bench;

/// <summary>
/// BenchmarkDotNet takes the samples, in this process: a published program has no project that it could build. The
/// cases are made here and not by attributes, since which there are depends on the command line.
/// </summary>
internal static class Sampling
{
    /// <summary>Runs scenarios one after the other.</summary>
    /// <param name="scenarios">What to measure.</param>
    /// <param name="folder">Where the library may leave its files.</param>
    /// <returns>For each scenario work a second of each of its samples; none for one that failed.</returns>
    public static IReadOnlyList<IReadOnlyList<double>> Run(IReadOnlyList<Scenario> scenarios, string folder)
    {
        ImmutableConfig config = ImmutableConfigBuilder.Create(ManualConfig.CreateEmpty()
            .AddLogger(NullLogger.Instance)
            .WithArtifactsPath(folder)
            .WithOptions(ConfigOptions.DisableLogFile | ConfigOptions.DisableOptimizationsValidator));
        Type type = typeof(ScenarioBenchmark);
        Descriptor descriptor = new(type, type.GetMethod(nameof(ScenarioBenchmark.Sample))!, type.GetMethod(nameof(ScenarioBenchmark.SetUp)),
            type.GetMethod(nameof(ScenarioBenchmark.CleanUp)), type.GetMethod(nameof(ScenarioBenchmark.BeforeSample)));
        ParameterDefinition parameter = new(nameof(ScenarioBenchmark.Scenario), isStatic: false, [], isArgument: false, typeof(object), priorityInCategory: 0);
        BenchmarkCase[] cases = [.. scenarios.Select(scenario => BenchmarkCase.Create(
            descriptor, JobFor(scenario.Effort), new ParameterInstances([new ParameterInstance(parameter, scenario, SummaryStyle.Default)]), config))];

        Summary summary = BenchmarkRunner.Run(new BenchmarkRunInfo(cases, type, config));
        return [.. scenarios.Select((scenario, i) => scenario.Error is null
            ? summary.Reports.Single(report => report.BenchmarkCase == cases[i]).AllMeasurements
                .Where(measurement => measurement is { IterationMode: IterationMode.Workload, IterationStage: IterationStage.Actual })
                .Select(measurement => scenario.Work * scenario.Repeats / measurement.Nanoseconds * 1e9).ToArray()
            : [])];
    }

    // The scenario warms up and repeats by itself, so that peers can take turns with single samples.
    private static Job JobFor(Effort effort) => Job.Default
        .WithToolchain(new InProcessNoEmitToolchain(TimeSpan.FromDays(1), logOutput: false))
        .WithStrategy(RunStrategy.Monitoring)
        .WithWarmupCount(0)
        .WithIterationCount(effort.Samples)
        .WithInvocationCount(1)
        .WithUnrollFactor(1);

    /// <summary>This machine.</summary>
    public static Machine Machine()
    {
        HostEnvironmentInfo host = HostEnvironmentInfo.GetCurrent();
        return new Machine(
            host.CpuInfo.Value?.ProcessorName ?? "unknown", Environment.ProcessorCount, host.OsVersion.Value, host.RuntimeVersion, host.Architecture);
    }
}

/// <summary>The scenario as the library wants it: a public class with a public property that it sets.</summary>
public sealed class ScenarioBenchmark
{
    private Scenario? _scenario;

    /// <summary>The scenario to run.</summary>
    public object? Scenario
    {
        get => _scenario;
        set => _scenario = (Scenario?)value;
    }

    /// <summary>Called once, before the samples.</summary>
    public void SetUp() => _scenario!.SetUp();

    /// <summary>Called before each sample, outside the time that is measured.</summary>
    public void BeforeSample() => _scenario!.BeforeSample();

    /// <summary>The time of this is measured.</summary>
    public void Sample() => _scenario!.Sample();

    /// <summary>Called once, after the samples.</summary>
    public void CleanUp() => _scenario!.CleanUp();
}
