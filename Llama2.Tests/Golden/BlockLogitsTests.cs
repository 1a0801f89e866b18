using System.Runtime.InteropServices;
using System.Text.Json;
using Llama2.Fast;

namespace Llama2.Tests.Golden;

/// <summary>
/// What a model loses because its activations are quantised: how far its logits are from those of the dequantised weights in float32,
/// beside llama.cpp's own distance with the same file. One position is a throw of dice where both round to 8 bits; our 15, and the float32
/// that halves meet, are nearer in every file.
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
    public void Logits_are_nearer_to_those_of_the_dequantised_weights_than_llama_cpp_s(string name)
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
        double bound = 0.05 * Rms(theirs);
        Assert.InRange(Rms(simple), 0, bound);
        Assert.InRange(Rms(fast), 0, bound);

        double Rms(float[] logits) => Math.Sqrt(logits.Zip(dequantised, (a, b) => ((double)a - b) * ((double)a - b)).Average());
        double Max(float[] logits) => logits.Zip(dequantised, (a, b) => Math.Abs((double)a - b)).Max();
    }
}
