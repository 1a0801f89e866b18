using System.Text.Json;

namespace Llama2.Tests.Golden;

/// <summary>What run.c or runq.c answered for one model, prompt and setting of the sampler; the README beside the files says how.</summary>
internal sealed record GoldenCase(
    string Model, string Tokenizer, string Prompt, float Temperature, float Topp, ulong Seed, int Steps, int[] PromptTokens, int[] Tokens,
    int ForwardCalls, bool StoppedOnBos, string Text, string? TextUtf8, string LogitsSha256, string[][] LogitsHead)
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static GoldenCase Read(string name) =>
        JsonSerializer.Deserialize<GoldenCase>(File.ReadAllText(Files[name]), Json) ?? throw new InvalidDataException(name);

    /// <summary>
    /// Compares logits after a position with the file's, which has those of the first tokens at the first positions: their bits where
    /// MathF is glibc's, else within 1e-4 (1 + |x|).
    /// </summary>
    public void AssertLogits(int position, ReadOnlySpan<float> logits)
    {
        string[] head = position < LogitsHead.Length ? LogitsHead[position] : [];
        for (int token = 0; token < head.Length; token++)
        {
            float expected = BitConverter.UInt32BitsToSingle(Convert.ToUInt32(head[token], 16));
            float tolerance = 1e-4f * (1 + MathF.Abs(expected));
            if (Glibc.IsMathF)
                Bits.AssertEqual([expected], [logits[token]], $"position {position}, token {token}");
            else
                Assert.InRange(logits[token], expected - tolerance, expected + tolerance);
        }
    }

    /// <summary>All cases by name: the default model's, and the others where ../shared is there.</summary>
    private static IReadOnlyDictionary<string, string> Files { get; } =
        new (string Folder, string Names)[]
        {
            (Repository.Golden(), "tales659K*.json"), (Repository.Shared("golden", "public", "generate"), "*.json"),
        }
            .Where(place => Directory.Exists(place.Folder)).SelectMany(place => Directory.EnumerateFiles(place.Folder, place.Names))
            .DistinctBy(Path.GetFileName).Order(StringComparer.Ordinal).ToDictionary(file => Path.GetFileNameWithoutExtension(file));

    /// <summary>Rows of a theory: the name of a case, and a checkpoint that must give its answers.</summary>
    public static TheoryData<string, string> All()
    {
        TheoryData<string, string> data = [];
        foreach (string name in Files.Keys)
        {
            string model = Read(name).Model;
            data.Add(name, model);
            string v1 = model.Replace(".bin", "_v1.bin", StringComparison.Ordinal);
            if (Repository.FindModel(v1) is not null)
                data.Add(name, v1); // the same weights in the other format
        }
        if (!Repository.HasShared)
            data.Add(new TheoryDataRow<string, string>("other models", "") { Skip = Repository.NoShared });
        return data;
    }
}
