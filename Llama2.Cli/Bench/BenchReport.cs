using System.Text.Json;
using System.Text.Json.Serialization;

namespace Llama2.Cli.Bench;

/// <summary>What a forward pass is measured at.</summary>
internal enum Phase
{
    /// <summary>One token at a time, each fed with the choice of the one before; as fast as weights can be read.</summary>
    Decode,

    /// <summary>A prompt, whose tokens are all known; as fast as the machine can multiply.</summary>
    Prefill,
}

/// <summary>All that one run of <c>llama2 bench</c> measured: what --json writes and --compare reads.</summary>
/// <param name="Schema">Version of this format; a reader takes its own and no other.</param>
/// <param name="Time">When the run began.</param>
/// <param name="Program">Version and commit of llama2.</param>
/// <param name="Command">The arguments it was given.</param>
/// <param name="Machine">Where it ran.</param>
/// <param name="Models">The models, in the order of the command line.</param>
/// <param name="Rows">The forward pass: one row for each model, implementation, number of threads and phase.</param>
/// <param name="Micro">Single operations (--micro).</param>
internal sealed record BenchReport(
    int Schema, DateTimeOffset Time, string Program, string Command, Machine Machine,
    IReadOnlyList<BenchModel> Models, IReadOnlyList<BenchRow> Rows, IReadOnlyList<MicroRow> Micro)
{
    public const int CurrentSchema = 1;

    public string ToJson() => JsonSerializer.Serialize(this, BenchJson.Default.BenchReport);

    /// <summary>Reads a report.</summary>
    /// <exception cref="InvalidDataException">It is no report, or one of another schema; the message names the file.</exception>
    public static BenchReport Read(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            using JsonDocument document = JsonDocument.Parse(stream);
            int schema = document.RootElement.TryGetProperty("schema", out JsonElement field) && field.TryGetInt32(out int found)
                ? found
                : throw new JsonException("there is no field schema");
            if (schema != CurrentSchema)
                throw new JsonException($"expected schema {CurrentSchema}, found {schema}");
            return document.Deserialize(BenchJson.Default.BenchReport) ?? throw new JsonException("it is null");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"{path}: no report of llama2 bench --json: {e.Message}", e);
        }
    }
}

/// <summary>The machine and what runs on it.</summary>
/// <param name="Cpu">Model name of the processor.</param>
/// <param name="Cores">Logical processors.</param>
/// <param name="Os">Name and version of the operating system.</param>
/// <param name="Runtime">Name and version of the runtime.</param>
/// <param name="Architecture">Instruction set of the process.</param>
internal sealed record Machine(string Cpu, int Cores, string Os, string Runtime, string Architecture);

/// <summary>A model that was measured.</summary>
/// <param name="Name">Its file or shape; random weights are called so.</param>
/// <param name="Parameters">Elements of its weights.</param>
/// <param name="Tokens">Tokens of one sample, which start from an empty context.</param>
/// <param name="Error">Why nothing could be measured, or null.</param>
internal sealed record BenchModel(string Name, long Parameters, int Tokens, string? Error = null);

/// <summary>What tells one row from another.</summary>
/// <param name="Model">Name of the model.</param>
/// <param name="Implementation">simple or fast.</param>
/// <param name="Weights">float32 or int8.</param>
/// <param name="Kernel">The kernel that was asked for (--kernels), or null for the implementation's own choice.</param>
/// <param name="Threads">Threads that compute.</param>
/// <param name="Phase">Decode or prefill.</param>
internal sealed record RowKey(string Model, string Implementation, string Weights, string? Kernel, int Threads, Phase Phase)
{
    /// <summary>The implementation as tables call it.</summary>
    [JsonIgnore]
    public string Label => Weights == "int8" ? Implementation + " int8" : Implementation;

    public override string ToString() =>
        $"{Model}: {Label}{(Kernel is null ? "" : $" ({Kernel})")}, {Threads} {(Threads == 1 ? "thread" : "threads")}, {(Phase == Phase.Decode ? "decode" : "prefill")}";
}

/// <summary>One measured thing.</summary>
/// <param name="Key">What it is.</param>
/// <param name="Kernel">The kernel that computed, or null where there is only one way.</param>
/// <param name="WorkPerToken">Decode: bytes of weights, keys and values read for a token. Prefill: floating-point operations for a token.</param>
/// <param name="Limit">The machine's limit with as many threads, measured in the same process: GB/s (decode) or GFLOP/s (prefill).</param>
/// <param name="Samples">tok/s of each sample, in the order they were taken.</param>
/// <param name="Peers">Other programs, whose samples were taken in turn with these.</param>
/// <param name="Error">Why there are no samples, or null.</param>
internal sealed record BenchRow(
    RowKey Key, string? Kernel, double WorkPerToken, double Limit, IReadOnlyList<double> Samples, IReadOnlyList<PeerSamples> Peers, string? Error = null)
{
    /// <summary>GB/s or GFLOP/s at the median.</summary>
    [JsonIgnore]
    public double Rate => Statistics.Median(Samples) * WorkPerToken / 1e9;
}

/// <summary>Another program's share of a row.</summary>
/// <param name="Name">As --peer calls it.</param>
/// <param name="Threads">Threads it was told to use.</param>
/// <param name="Samples">tok/s of each run, as the program reports them.</param>
/// <param name="Error">Why there are fewer samples than the row has, or null.</param>
internal sealed record PeerSamples(string Name, int Threads, IReadOnlyList<double> Samples, string? Error = null);

/// <summary>One operation of a kernel.</summary>
/// <param name="Operation">What is computed.</param>
/// <param name="Kernel">By which instruction set.</param>
/// <param name="Shape">Of its operands.</param>
/// <param name="Unit">GB/s or GFLOP/s.</param>
/// <param name="Limit">The machine's limit in that unit with one thread, measured in the same process.</param>
/// <param name="Samples">Each sample in that unit.</param>
/// <param name="Error">Why there are none, or null.</param>
internal sealed record MicroRow(string Operation, string Kernel, string Shape, string Unit, double Limit, IReadOnlyList<double> Samples, string? Error = null);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, WriteIndented = true,
    RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchJson : JsonSerializerContext;
