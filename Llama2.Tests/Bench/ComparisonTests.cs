using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ComparisonTests
{
    private static readonly BenchReport Old = Reports.Of(
        Reports.Row("simple", 1, Phase.Decode, 99, 100, 101),
        Reports.Row("fast", 2, Phase.Decode, 990, 1000, 1010));

    [Fact]
    public void A_change_within_the_noise_is_none()
    {
        BenchReport now = Reports.Of(Reports.Row("fast", 2, Phase.Decode, 880, 920, 1010)); // -8 %, noise 7.06 %
        Assert.True(Comparison.Between(Old, now, tolerance: 0.01).Regressed);
        now = Reports.Of(Reports.Row("fast", 2, Phase.Decode, 840, 920, 1010)); // -8 %, noise 9.2 %
        (IReadOnlyList<string> lines, bool regressed) = Comparison.Between(Old, now, tolerance: 0.01);
        Assert.False(regressed);
        Assert.Equal(["no change beyond the noise in 1 rows"], lines);
    }

    [Fact]
    public void Slower_past_the_tolerance_is_a_regression()
    {
        BenchReport now = Reports.Of(
            Reports.Row("simple", 1, Phase.Decode, 200),
            Reports.Row("fast", 2, Phase.Decode, 850));
        Assert.False(Comparison.Between(Old, now, tolerance: 0.2).Regressed);
        (IReadOnlyList<string> lines, bool regressed) = Comparison.Between(Old, now, tolerance: 0.1);
        Assert.True(regressed);
        Assert.Equal(2, lines.Count);
        Assert.Contains("faster by 100.0", lines[0]);
        Assert.Contains("slower by 15.0", lines[1]);
    }

    [Fact]
    public void Faster_is_no_regression() =>
        Assert.False(Comparison.Between(Old, Reports.Of(Reports.Row("fast", 2, Phase.Decode, 5000)), tolerance: 0).Regressed);

    [Fact]
    public void Peers_and_rows_that_only_one_report_has_or_that_failed_are_left_out()
    {
        BenchRow peer = Reports.PeerRow(2, 1000);
        BenchReport old = Old with { Rows = [.. Old.Rows, peer] }, now = Reports.Of(
            Reports.Row("fast", 4, Phase.Decode, 1),
            Reports.Row("fast int8", 2, Phase.Decode, 1),
            Reports.Row("simple", 1, Phase.Decode), // no samples
            peer with { Samples = [1] });
        Assert.Contains("nothing to compare", Assert.Single(Comparison.Between(old, now, 0).Lines));
    }

    [Fact]
    public void Another_machine_is_mentioned() =>
        Assert.Contains("another machine", Comparison.Between(Old, Old with { Machine = Old.Machine with { Cpu = "B" } }, 0).Lines[0]);
}
