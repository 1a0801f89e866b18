using System.Runtime.InteropServices;
using System.Text.Json;
using Llama2.Fast;

namespace Llama2.Tests.Golden;

/// <summary>
/// What a model loses because its activations are quantised: how far its logits are from those of the dequantised weights in float32,
/// beside llama.cpp's own distance with the same file. Where both quantise the same groups of 32, one position tells no more than that
/// the two are of a size; where llama.cpp's groups are of 256, and for halves, whose vectors it rounds and we do not, ours is smaller.
/// </summary>
public sealed class BlockLogitsTests(ITestOutputHelper output)
{
    public static TheoryData<string> Files =>
    [
        "rand256-IQ4_NL", "rand256-Q2_K", "rand256-Q3_K_M", "rand256-Q4_K_M", "rand256-Q6_K", "stories260K-Q8_0-mixed",
        "tales659K-Q4_0", "tales659K-Q4_1", "tales659K-Q5_0", "tales659K-Q8_0", "tales659K-F16", "tales659K-BF16", "stories260K-F16",
        "stories260K-BF16", "rope31-F16",
    ];

    private static float[] Floats(string file) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(file)).ToArray();

    [Theory]
    [MemberData(nameof(Files))]
    public void Logits_are_near_those_of_the_dequantised_weights(string name)
    {
        string golden = Repository.Shared("formats", "golden", name);
        Assert.SkipUnless(File.Exists($"{golden}.json"), "needs llama.cpp's logits, in ../shared/formats, beside the clone");
        JsonElement facts = JsonDocument.Parse(File.ReadAllBytes($"{golden}.json")).RootElement;
        int[] prompt = facts.GetProperty("logits_prompt").Deserialize<int[]>()!;
        using ModelFile model = ModelFile.Open(Repository.Shared("formats", "gguf", $"{name}.gguf"));
        int vocab = model.Config.VocabSize;
        float[] dequantised = Floats($"{golden}.deq.logits.f32")[^vocab..], theirs = Floats($"{golden}.logits.f32")[^vocab..];
        float[] simple = new float[vocab], fast = new float[vocab];
        using FastTransformer fastTransformer = new(model.Config, model.Weights);
        foreach ((ITransformer transformer, float[] logits) in new (ITransformer, float[])[]
            { (new Transformer(model.Config, model.Weights), simple), (fastTransformer, fast) })
        {
            KvCache cache = new(model.Config);
            Row[] rows = [.. prompt.Select((token, i) => new Row(token, cache, i + 1 < prompt.Length ? Want.Nothing : Want.Logits))];
            transformer.Forward(rows, logits);
        }
        output.WriteLine($"{name}: root mean square {Rms(simple):g3}, Fast {Rms(fast):g3}, llama.cpp {Rms(theirs):g3}; "
            + $"largest {Max(simple):g3}, Fast {Max(fast):g3}, llama.cpp {Max(theirs):g3}");
        bool halves = name.EndsWith("16", StringComparison.Ordinal), superBlocks = name.Contains("_K", StringComparison.Ordinal);
        double bound = Rms(theirs) * (halves ? 0.01 : superBlocks ? 1 : 2);
        Assert.InRange(Rms(simple), 0, bound);
        Assert.InRange(Rms(fast), 0, bound);

        double Rms(float[] logits) => Math.Sqrt(logits.Zip(dequantised, (a, b) => ((double)a - b) * ((double)a - b)).Average());
        double Max(float[] logits) => logits.Zip(dequantised, (a, b) => Math.Abs((double)a - b)).Max();
    }
}
