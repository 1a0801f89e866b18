using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Golden;

/// <summary>GGUF files give what llama.cpp's library gave: facts, tensors and greedy tokens exactly, logits within its noise.</summary>
public sealed class GgufGoldenTests
{
    private const float Tolerance = 1e-4f; // llama.cpp's builds differ by 1.6e-5 from one another

    public static TheoryData<string> Files => GgufGolden.All;
    public static TheoryData<string> FilesWithTokens => GgufGolden.WithTokens;
    public static TheoryData<string> QuantisedFiles => GgufGolden.WithDequantised;

    [Fact]
    public void Every_file_has_a_golden()
    {
        string folder = Path.GetFullPath(Repository.Shared("formats", "gguf"));
        Assert.SkipUnless(Directory.Exists(folder), GgufGolden.NoFormats);
        GgufGolden[] goldens = [.. GgufGolden.All.Select(row => GgufGolden.Read(row.Data))];
        Assert.Equal(Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal),
            goldens.Select(golden => golden.Path).Order(StringComparer.Ordinal));
        foreach (GgufGolden golden in goldens)
        {
            Assert.Equal(golden.Json.GetProperty("sha256").GetString(),
                Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(golden.Path))));
        }
        string[] withoutTokens = ["variants/nested-array-kv.gguf", "variants/rope-partial4of8.gguf"]; // which llama.cpp refuses
        Assert.Equal(withoutTokens, goldens.Where(golden => !golden.Greedy().Any())
            .Select(golden => Path.GetRelativePath(folder, golden.Path)).Order(StringComparer.Ordinal));
    }

    [Theory, MemberData(nameof(Files))]
    public void Header_and_metadata_are_the_file_s(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using GgufFile file = GgufFile.Open(golden.Path);
        Assert.Equal(golden.Json.GetProperty("gguf_version").GetInt32(), file.Version);
        Assert.Equal(golden.Json.GetProperty("alignment").GetInt32(), file.Alignment);
        Assert.Equal(golden.Json.GetProperty("data_offset").GetInt64(), file.DataOffset);
        JsonProperty[] expected = [.. golden.Json.GetProperty("metadata").EnumerateObject()];
        Assert.Equal(expected.Select(property => property.Name), file.Metadata.Keys);
        foreach (JsonProperty property in expected)
            AssertValue(property.Value, file.Metadata, property.Name);
    }

    [Theory, MemberData(nameof(Files))]
    public void Tensors_are_those_of_ggml_to_the_last_bit(string name)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using GgufFile file = GgufFile.Open(golden.Path);
        JsonElement[] expected = [.. golden.Json.GetProperty("tensors").EnumerateArray()];
        Assert.Equal(expected.Length, file.Tensors.Count);
        foreach ((JsonElement json, GgufTensor tensor) in expected.Zip(file.Tensors))
        {
            Assert.Equal(json.GetProperty("name").GetString(), tensor.Name);
            Assert.Equal(json.GetProperty("type").GetString(), tensor.Type.Name, ignoreCase: true);
            Assert.Equal(json.GetProperty("ne").EnumerateArray().Select(size => size.GetInt64()), tensor.Dimensions);
            Assert.Equal(json.GetProperty("offset").GetInt64() + file.DataOffset, tensor.Offset);
            Assert.Equal(json.GetProperty("bytes").GetInt64(), tensor.Bytes);
            Assert.Equal(json.GetProperty("f32_sha256").GetString(), Sha256OfFloats(tensor));
        }
    }

    [Theory, MemberData(nameof(Files))]
    public void Logits_of_Simple_are_those_of_llama_cpp(string name) =>
        AssertLogits(name, (config, weights) => new Transformer(config, weights));

    [Theory, MemberData(nameof(Files))]
    public void Logits_of_Fast_are_those_of_llama_cpp(string name) =>
        AssertLogits(name, (config, weights) => new FastTransformer(config, weights, threads: 2));

    [Theory, MemberData(nameof(FilesWithTokens))]
    public void Greedy_tokens_of_Simple_are_those_of_llama_cpp(string name) =>
        AssertGreedy(name, weights => Dequantised.Of(weights), (config, weights) => new Transformer(config, weights));

    [Theory, MemberData(nameof(FilesWithTokens))]
    public void Greedy_tokens_of_Fast_are_those_of_llama_cpp(string name) =>
        AssertGreedy(name, weights => Dequantised.Of(weights), (config, weights) => new FastTransformer(config, weights, threads: 2));

    /// <summary>What rounding activations to 15 bits costs is less than any lead of a token over the next best.</summary>
    [Theory, MemberData(nameof(QuantisedFiles))]
    public void Greedy_tokens_of_the_file_as_it_is_are_those_of_llama_cpp_with_dequantised_weights(string name)
    {
        AssertGreedy(name, weights => weights, (config, weights) => new Transformer(config, weights));
        AssertGreedy(name, weights => weights, (config, weights) => new FastTransformer(config, weights, threads: 2));
    }

    private static void AssertValue(JsonElement expected, GgufMetadata metadata, string key)
    {
        switch (expected.ValueKind)
        {
            case JsonValueKind.String:
                Assert.Equal(expected.GetString(), metadata.GetString(key));
                break;
            case JsonValueKind.True or JsonValueKind.False:
                Assert.Equal(expected.GetBoolean(), metadata.GetBool(key));
                break;
            case JsonValueKind.Number when metadata.TypeOf(key) == GgufValueType.F32:
                Assert.Equal((float)expected.GetDouble(), metadata.GetFloat(key));
                break;
            case JsonValueKind.Number:
                Assert.Equal(expected.GetInt64(), metadata.GetInteger(key));
                break;
            case JsonValueKind.Array: // of arrays: written out
                Assert.Equal(expected.GetArrayLength(), metadata.GetLength(key));
                Assert.Equal(GgufValueType.Array, metadata.GetElementType(key));
                break;
            default:
                Assert.Equal(expected.GetProperty("array_of").GetInt32(), metadata.GetLength(key));
                JsonElement[] head = [.. expected.GetProperty("head").EnumerateArray()];
                if (metadata.GetElementType(key) == GgufValueType.Text)
                    Assert.Equal(head.Select(text => text.GetString()), metadata.GetStrings(key)!.Take(head.Length)
                        .Select(utf8 => System.Text.Encoding.UTF8.GetString(utf8.Span)));
                else if (metadata.GetElementType(key) == GgufValueType.F32)
                    Assert.Equal(head.Select(value => (float)value.GetDouble()), metadata.GetFloats(key)!.Take(head.Length));
                else
                    Assert.Equal(head.Select(value => value.GetInt32()), metadata.GetIntegers(key)!.Take(head.Length));
                break;
        }
    }

    private static string Sha256OfFloats(GgufTensor tensor)
    {
        int columns = (int)tensor.Dimensions[0], rows = (int)(tensor.Elements / columns);
        Tensor opened = GgmlTensor.Create(tensor.Type, rows, columns, tensor.File, tensor.Offset);
        float[] row = new float[columns];
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int i = 0; i < rows; i++)
        {
            opened.CopyRow(i, row);
            hash.AppendData(MemoryMarshal.AsBytes<float>(row));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void AssertLogits(string name, Func<Config, Weights, ITransformer> create)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile file = ModelFile.Open(golden.Path);
        using ITransformer transformer = create(file.Config, Dequantised.Of(file.Weights));
        (int[] prompt, float[] expected) = golden.Logits();
        float[] actual = new float[prompt.Length * file.Config.VocabSize];
        KvCache cache = new(file.Config);
        transformer.Forward([.. prompt.Select(token => new Row(token, cache, Want.Logits))], actual);
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            (int position, int token) = Math.DivRem(i, file.Config.VocabSize);
            if (!(MathF.Abs(actual[i] - expected[i]) <= Tolerance))
                Assert.Fail($"{name}: logit {token} at position {position} is {actual[i]}, not {expected[i]}");
        }
    }

    private static void AssertGreedy(string name, Func<Weights, Weights> change, Func<Config, Weights, ITransformer> create)
    {
        GgufGolden golden = GgufGolden.Read(name);
        using ModelFile file = ModelFile.Open(golden.Path);
        using ITransformer transformer = create(file.Config, change(file.Weights));
        foreach ((int[] prompt, int[] expected) in golden.Greedy())
        {
            KvCache cache = new(file.Config);
            List<int> tokens = [.. prompt];
            float[] next = new float[1];
            transformer.Forward([.. prompt[..^1].Select(token => new Row(token, cache)), new Row(prompt[^1], cache, Want.Token)], next);
            for (tokens.Add((int)next[0]); tokens.Count < expected.Length; tokens.Add((int)next[0]))
                transformer.Forward([new Row(tokens[^1], cache, Want.Token)], next);
            Assert.Equal(expected, tokens);
        }
    }
}
