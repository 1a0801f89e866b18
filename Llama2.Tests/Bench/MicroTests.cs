using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class MicroTests
{
    private static readonly Effort Once = new(1, TimeSpan.Zero, TimeSpan.Zero);

    [Fact]
    public void Every_operation_of_every_kernel_runs()
    {
        MicroScenario[] scenarios = [.. MicroScenario.All(Once, CancellationToken.None).Where(scenario => !scenario.Shape.StartsWith("32000", StringComparison.Ordinal))];
        Assert.Equal(scenarios.Length, scenarios.Select(scenario => scenario.ToString()).Distinct().Count());
        foreach (MicroScenario scenario in scenarios)
        {
            scenario.SetUp();
            scenario.Sample();
            scenario.CleanUp();
            Assert.True(scenario.Error is null, $"{scenario}: {scenario.Error}");
            Assert.True(scenario.Work > 0);
        }
    }
}
