using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>Decode feeds one token at a time and is limited by memory; prefill feeds a whole prompt and is limited by arithmetic.</summary>
internal enum Phase { Decode, Prefill }

/// <summary>The result of one run of <c>llama2 bench</c>: the contents of --json and the input of --compare.</summary>
internal sealed record BenchReport(
    int Schema, DateTimeOffset Time, string Program, string Command, Machine Machine, IReadOnlyList<BenchRow> Rows)
{
    public const int CurrentSchema = 2;

    public string ToJson() => JsonSerializer.Serialize(this, BenchJson.Default.BenchReport);

    /// <exception cref="ModelFileException">The file cannot be read.</exception>
    /// <exception cref="IOException">The file is not a report of this schema; the message names the file.</exception>
    public static BenchReport Read(string path)
    {
        try
        {
            JsonNode? json = JsonNode.Parse(Input.ReadText(path, CancellationToken.None));
            int schema = (int?)json?["schema"] ?? throw new JsonException("there is no field schema");
            return schema == CurrentSchema
                ? json.Deserialize(BenchJson.Default.BenchReport)!
                : throw new JsonException($"expected schema {CurrentSchema}, found {schema}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new IOException($"{path}: not a report of llama2 bench --json: {e.Message}", e);
        }
    }
}

internal sealed record Machine(string Cpu, int Cores, string Os, string Runtime)
{
    public static Machine Current { get; } =
        new(CpuName(), Environment.ProcessorCount, RuntimeInformation.OSDescription, RuntimeInformation.FrameworkDescription);

    /// <summary>The brand string of x86's CPUID leaves 0x80000002 to 0x80000004; Arm has no such instruction.</summary>
    private static string CpuName() => !X86Base.IsSupported ? $"{RuntimeInformation.ProcessArchitecture}"
        : Encoding.ASCII.GetString(MemoryMarshal.AsBytes<(int, int, int, int)>(
            [.. Enumerable.Range(unchecked((int)0x80000002), 3).Select(leaf => X86Base.CpuId(leaf, 0))])).Trim('\0', ' ');
}

/// <param name="Name">simple, fast, fast int8, fast avx2 and so on, or a peer's name.</param>
internal sealed record RowKey(string Model, string Name, int Threads, Phase Phase)
{
    public override string ToString() => $"{Model}: {Name}, {Notes.Count(Threads, "thread")}, {InWords(Phase)}";

    public static string InWords(Phase phase) => phase == Phase.Decode ? "decode" : "prefill";
}

/// <param name="Tokens">Tokens of one pass, which starts from an empty context.</param>
/// <param name="BytesPerToken">Weights, keys and values that a token of decode reads.</param>
/// <param name="ReadBandwidth">The machine's upper bound with as many threads, in GB/s.</param>
/// <param name="Samples">tok/s, in the order in which the samples were taken.</param>
internal sealed record BenchRow(
    RowKey Key, bool IsPeer, int Tokens, string? Kernel, double? BytesPerToken, double? ReadBandwidth, List<double> Samples)
{
    public const double Noisy = 0.25; // samples that spread wider are too noisy to compare

    /// <summary>The middle sample, or the mean of the middle two; NaN if there are none.</summary>
    public double Median => Samples.Order().Skip((Samples.Count - 1) / 2).Take(2 - Samples.Count % 2).DefaultIfEmpty(double.NaN).Average();

    public double Spread => Samples.Count == 0 ? double.NaN : (Samples.Max() - Samples.Min()) / Median;
    public double Bandwidth => Median * (BytesPerToken ?? double.NaN) / 1e9; // GB/s
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, WriteIndented = true,
    IgnoreReadOnlyProperties = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchJson : JsonSerializerContext;
