using Llama2.Fast;

namespace Llama2.Tests.Golden;

/// <summary>Fast on GGUF files as they are, in their own types: Simple's bits, and the same with any kernel, threads and batches.</summary>
public sealed class GgufFastTests
{
    private static readonly (int Threads, int Batch)[] Setups = [(1, 1), (2, 5), (4, 12)];

    public static TheoryData<string> Files => GgufGolden.All;

    [Theory, MemberData(nameof(Files))]
    public void Every_kernel_number_of_threads_and_batch_gives_the_same_bits(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile file = ModelFile.Open(golden.Path);
        float[]? first = null;
        foreach (string kernel in FastTransformer.KernelNames)
        {
            foreach ((int threads, int batch) in Setups)
            {
                using FastTransformer transformer = new(file.Config, file.Weights, threads, kernel);
                float[] logits = Logits(transformer, golden.Logits().Prompt, batch);
                Bits.AssertEqual(first ??= logits, logits, $"{kernel}, {threads} threads, calls of {batch}");
            }
        }
    }

    [Theory, MemberData(nameof(Files))]
    public void Logits_are_Simple_s(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile file = ModelFile.Open(golden.Path);
        using FastTransformer fast = new(file.Config, file.Weights, threads: 2);
        using Transformer simple = new(file.Config, file.Weights);
        float[] expected = Logits(simple, golden.Logits().Prompt, 1), actual = Logits(fast, golden.Logits().Prompt, 12);
        string[] floats = ["f32", "f16", "bf16"];
        bool[] areFloats = [.. file.Weights.Named().Where(named => !Weights.IsVector(named.Name))
            .Select(named => floats.Contains(named.Tensor.TypeName)).Distinct()];
        if (areFloats is [false])
            Bits.AssertEqual(expected, actual, name);
        // Products of floats are sums in another order. Where blocks follow, some activations are then rounded to another of their 15 bits.
        float tolerance = areFloats is [true] ? 1e-4f : 5e-3f;
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, tolerance));
    }

    private static float[] Logits(ITransformer transformer, int[] prompt, int batch)
    {
        KvCache cache = new(transformer.Config);
        List<float> all = [];
        foreach (int[] call in prompt.Chunk(batch))
        {
            float[] logits = new float[call.Length * transformer.Config.VocabSize];
            transformer.Forward([.. call.Select(token => new Row(token, cache, Want.Logits))], logits);
            all.AddRange(logits);
        }
        return [.. all];
    }
}
