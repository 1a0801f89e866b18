using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Golden;

/// <summary>
/// Fast on GGUF files as they are, in their own types: Simple's bits, and the same with any kernel, threads and batches, on any machine.
/// </summary>
public sealed class GgufFastTests
{
    private static readonly (int Threads, int Batch)[] Setups = [(1, 1), (2, 5), (3, 12), (4, 1), (4, 12)];
    private static readonly int[] Prompt = [1, 403, 50, 261, 511, 432, 3, 286, 261, 376, 400, 128];
    private const string Shipped = "the model that ships, as ";

    public static TheoryData<string> Files => GgufGolden.All;
    public static TheoryData<string> Types => [.. TypeMix.All.Select(mix => mix.Name)];

    [Theory, MemberData(nameof(Files))]
    public void Every_kernel_number_of_threads_and_batch_gives_the_same_bits(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile file = ModelFile.Open(golden.Path);
        AssertHash(name, file, golden.Logits().Prompt);
    }

    [Theory, MemberData(nameof(Types))]
    public void The_model_that_ships_has_them_in_each_type_that_convert_writes(string type)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using MemoryStream stream = new();
        GgufModelWriter.Create("tales659K", checkpoint.Config, checkpoint.Weights, tokenizer: null, type).Write(stream);
        using TemporaryFile written = new(stream.ToArray());
        using ModelFile file = ModelFile.Open(written.Path);
        AssertHash(Shipped + type, file, Prompt);
    }

    [Fact]
    public void The_table_has_these_and_no_others() =>
        GgufTable.AssertNames(GgufTable.Hashes, Files, [.. TypeMix.All.Select(mix => Shipped + mix.Name)]);

    private static void AssertHash(string name, ModelFile file, int[] prompt)
    {
        float[]? first = null;
        foreach (string kernel in FastTransformer.KernelNames)
        {
            foreach ((int threads, int batch) in Setups)
            {
                using FastTransformer transformer = new(file.Config, file.Weights, threads, kernel);
                float[] logits = Logits(transformer, prompt, batch);
                Bits.AssertEqual(first ??= logits, logits, $"{kernel}, {threads} threads, calls of {batch}");
            }
        }
        string hash = Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<float>(first)))[..16];
        GgufTable.AssertHas(GgufTable.Hashes, name, file.Weights.DescribeTypes(), hash);
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
            .Select(named => floats.Contains(named.Tensor.Describe())).Distinct()];
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
