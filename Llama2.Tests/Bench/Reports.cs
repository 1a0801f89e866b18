using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

/// <summary>A report with known numbers.</summary>
internal static class Reports
{
    public const string Model = "small";

    public static BenchReport Of(params BenchRow[] rows) => new(
        BenchReport.CurrentSchema, new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero), "0.1.0+abc", "--quick", new Machine("A CPU", 2, "An OS", ".NET", "X64"),
        [new BenchModel(Model, 1000, 256)], rows, []);

    public static BenchRow Row(string implementation, string weights, int threads, Phase phase, params double[] samples) =>
        new(new RowKey(Model, implementation, weights, null, threads, phase), null, 2e6, 10, samples, []);

    /// <summary>simple and fast in both phases, a peer beside the decode of both.</summary>
    public static BenchReport Full => Of(
        Row("simple", "float32", 1, Phase.Decode, 90, 100, 110) with { Peers = [new PeerSamples("llama2.c", 2, [950, 1000, 1050])] },
        Row("simple", "float32", 1, Phase.Prefill, 120),
        Row("fast", "float32", 2, Phase.Decode, 1490, 1500, 1510) with { Peers = [new PeerSamples("llama2.c", 2, [1000, 1000, 1000])] },
        Row("fast", "float32", 2, Phase.Prefill, 12_345),
        Row("fast", "int8", 2, Phase.Decode, 3000));
}
