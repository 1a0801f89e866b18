using System.Runtime.InteropServices;
using System.Text.Json;

namespace Llama2.Tests.Golden;

/// <summary>A GGUF file of ../shared/formats and what llama.cpp made of it; the README there says how.</summary>
internal sealed class GgufGolden
{
    public const string NoFormats = "needs the files of other formats and their goldens, in ../shared/formats, beside the clone";

    private GgufGolden(string name)
    {
        using FileStream stream = File.OpenRead(Repository.Shared("formats", "golden", name + ".json"));
        Json = JsonDocument.Parse(stream).RootElement;
        Path = System.IO.Path.GetFullPath(Repository.Shared("formats", Json.GetProperty("file").GetString()!));
    }

    public string Path { get; }
    public JsonElement Json { get; }

    public static GgufGolden Read(string name) => new(name);

    /// <summary>Rows of a theory: the names of all goldens.</summary>
    public static TheoryData<string> All => Where(_ => true);

    /// <summary>The names of those that have tokens: llama.cpp ran the file, or the same weights as float32.</summary>
    public static TheoryData<string> WithTokens => Where(golden => golden.Greedy().Any());

    /// <summary>The names of those of other types than float32, whose weights llama.cpp ran as float32 too.</summary>
    public static TheoryData<string> WithDequantised => Where(golden => golden.Json.TryGetProperty("logits_dequantised", out _));

    /// <summary>The names of those whose logits llama.cpp computed both ways.</summary>
    public static TheoryData<string> WithBoth => Where(golden => golden.Json.TryGetProperty("logits_dequantised", out _)
        && golden.Json.TryGetProperty("logits", out _));

    private static TheoryData<string> Where(Predicate<GgufGolden> has)
    {
        string folder = Repository.Shared("formats", "golden");
        if (!Directory.Exists(folder))
            return [new TheoryDataRow<string>("GGUF files") { Skip = NoFormats }];
        IEnumerable<string> names = Directory.EnumerateFiles(folder, "*.json")
            .Select(file => System.IO.Path.GetFileNameWithoutExtension(file));
        string[] others = ["meta.", "safetensors."];
        return [.. names.Where(name => !others.Any(other => name.StartsWith(other, StringComparison.Ordinal)) && has(Read(name)))
            .Order(StringComparer.Ordinal)];
    }

    /// <summary>Prompt and logits, (positions, vocab_size), of the weights as float32.</summary>
    public (int[] Prompt, float[] Logits) Logits()
    {
        string[] kinds = ["logits_dequantised", "logits_own_float64", "logits"];
        string file = Json.GetProperty(kinds.First(kind => Json.TryGetProperty(kind, out _))).GetString()!;
        return (Integers(Json.GetProperty("logits_prompt")),
            MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Repository.Shared("formats", file))).ToArray());
    }

    /// <summary>Logits of the last position of the prompt, of the file as it is or of its weights as float32: (vocab_size,).</summary>
    /// <param name="kind">logits or logits_dequantised.</param>
    /// <param name="vocabSize">How many they are.</param>
    public float[] LastLogits(string kind, int vocabSize) => MemoryMarshal.Cast<byte, float>(
        File.ReadAllBytes(Repository.Shared("formats", Json.GetProperty(kind).GetString()!))).ToArray()[^vocabSize..];

    /// <summary>Prompts with the tokens that go on from them greedily, of the weights as float32.</summary>
    public IEnumerable<(int[] Prompt, int[] Tokens)> Greedy() =>
        Json.TryGetProperty("greedy_dequantised", out JsonElement runs) || Json.TryGetProperty("greedy", out runs)
            ? runs.EnumerateArray().Select(run => (Integers(run.GetProperty("prompt")), Integers(run.GetProperty("tokens"))))
            : [];

    private static int[] Integers(JsonElement array) => [.. array.EnumerateArray().Select(id => id.GetInt32())];
}
