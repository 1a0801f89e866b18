using System.Globalization;
using Llama2.Fast;

namespace Llama2.Tests.Golden;

/// <summary>
/// What a model loses because its activations are quantised: how far its logits are from those of the dequantised weights in float32,
/// beside llama.cpp's own distance with the same file. One position is a throw of dice where both round to 8 bits; our 15, and the float32
/// that halves meet, are nearer in every file.
/// </summary>
public sealed class BlockLogitsTests
{
    public static TheoryData<string> Files => GgufGolden.WithBoth;

    [Theory, MemberData(nameof(Files))]
    public void Logits_are_nearer_to_those_of_the_dequantised_weights_than_llama_cpp_s(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile model = ModelFile.Open(golden.Path);
        int vocab = model.Config.VocabSize;
        float[] dequantised = golden.LastLogits("logits_dequantised", vocab), theirs = golden.LastLogits("logits", vocab);
        using FastTransformer fast = new(model.Config, model.Weights);
        using Transformer simple = new(model.Config, model.Weights);
        float[] ours = Last(fast, golden.Logits().Prompt);
        double bound = 0.05 * Rms(theirs);
        Assert.InRange(Rms(ours), 0, bound);
        Assert.InRange(Rms(Last(simple, golden.Logits().Prompt)), 0, bound);
        GgufTable.AssertHas(GgufTable.Distances, name, model.Weights.DescribeTypes(),
            Digits(Rms(ours)), Digits(Rms(theirs)), Digits(Max(ours)), Digits(Max(theirs)));

        double Rms(float[] logits) => Math.Sqrt(logits.Zip(dequantised, (a, b) => ((double)a - b) * ((double)a - b)).Average());
        double Max(float[] logits) => logits.Zip(dequantised, (a, b) => Math.Abs((double)a - b)).Aggregate(Math.Max); // a NaN stays
        static string Digits(double distance) => distance.ToString("G2", CultureInfo.InvariantCulture);
    }

    private static float[] Last(ITransformer transformer, int[] prompt)
    {
        float[] logits = new float[transformer.Config.VocabSize];
        KvCache cache = new(transformer.Config);
        transformer.Forward([.. prompt[..^1].Select(token => new Row(token, cache)), new Row(prompt[^1], cache, Want.Logits)], logits);
        return logits;
    }

    [Fact]
    public void The_table_has_the_files_and_no_others() => GgufTable.AssertNames(GgufTable.Distances, Files);
}
