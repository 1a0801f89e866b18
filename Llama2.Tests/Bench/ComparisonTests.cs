using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ComparisonTests
{
    private static readonly BenchReport Old = Reports.Of(
        Reports.Row("simple", "float32", 1, Phase.Decode, 99, 100, 101),
        Reports.Row("fast", "float32", 2, Phase.Decode, 990, 1000, 1010));

    [Fact]
    public void A_change_within_the_noise_is_none()
    {
        BenchReport now = Reports.Of(Reports.Row("fast", "float32", 2, Phase.Decode, 880, 920, 1010)); // -8 %, noise 7.06 %
        Assert.True(Comparison.Of(Old, now)[0].IsBeyondNoise);
        now = Reports.Of(Reports.Row("fast", "float32", 2, Phase.Decode, 840, 920, 1010)); // -8 %, noise 9.2 %
        Assert.False(Comparison.Of(Old, now)[0].IsBeyondNoise);
        (IReadOnlyList<string> lines, bool regressed) = Comparison.Describe(Old, now, tolerance: 0.01);
        Assert.False(regressed);
        Assert.Equal(["no change beyond the noise in 1 rows"], lines);
    }

    [Fact]
    public void Slower_past_the_tolerance_is_a_regression()
    {
        BenchReport now = Reports.Of(
            Reports.Row("simple", "float32", 1, Phase.Decode, 200),
            Reports.Row("fast", "float32", 2, Phase.Decode, 850));
        Assert.False(Comparison.Describe(Old, now, tolerance: 0.2).Regressed);
        (IReadOnlyList<string> lines, bool regressed) = Comparison.Describe(Old, now, tolerance: 0.1);
        Assert.True(regressed);
        Assert.Equal(2, lines.Count);
        Assert.Contains("faster by 100.0", lines[0], StringComparison.Ordinal);
        Assert.Contains("slower by 15.0", lines[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Faster_is_no_regression() =>
        Assert.False(Comparison.Describe(Old, Reports.Of(Reports.Row("fast", "float32", 2, Phase.Decode, 5000)), tolerance: 0).Regressed);

    [Fact]
    public void Rows_that_only_one_report_has_or_that_failed_are_left_out()
    {
        BenchReport now = Reports.Of(
            Reports.Row("fast", "float32", 4, Phase.Decode, 1),
            Reports.Row("fast", "int8", 2, Phase.Decode, 1),
            Reports.Row("simple", "float32", 1, Phase.Decode) with { Error = "failed" });
        Assert.Empty(Comparison.Of(Old, now));
        Assert.Contains("nothing to compare", Comparison.Describe(Old, now, 0).Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Another_machine_is_mentioned() =>
        Assert.Contains("another machine", Comparison.Describe(Old, Old with { Machine = Old.Machine with { Cpu = "Another" } }, 0).Lines[0], StringComparison.Ordinal);
}
