using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

/// <summary>Reports with known numbers.</summary>
internal static class Reports
{
    public static BenchReport Of(params BenchRow[] rows) => new(
        BenchReport.CurrentSchema, new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero), "0.1.0+abc", "--quick",
        new Machine("A CPU", 2, "An OS", ".NET"), rows);

    /// <summary>A row of ours; a decode reads 2 MB a token of the machine's 10 GB/s.</summary>
    public static BenchRow Row(string name, int threads, Phase phase, params double[] samples) => new(
        new RowKey("small", name, threads, phase), IsPeer: false, Tokens: 256, name == "simple" ? null : "avx2",
        phase == Phase.Decode ? 2e6 : null, phase == Phase.Decode ? 10 : null, [.. samples]);

    public static BenchRow PeerRow(int threads, params double[] samples) =>
        Row("llama2.c", threads, Phase.Decode, samples) with { IsPeer = true, Kernel = null, BytesPerToken = null, ReadBandwidth = null };

    /// <summary>simple and fast in both phases, and a peer.</summary>
    public static BenchReport Full => Of(
        Row("simple", 1, Phase.Decode, 90, 100, 110),
        Row("simple", 1, Phase.Prefill, 120),
        Row("fast", 2, Phase.Decode, 1490, 1500, 1510),
        Row("fast", 2, Phase.Prefill, 12_345),
        Row("fast int8", 2, Phase.Decode, 3000),
        PeerRow(2, 950, 1000, 1050));
}
