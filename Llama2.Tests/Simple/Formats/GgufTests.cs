using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Simple.Formats;

/// <summary>What GGUF files may hold, and models of all shapes of the Llama family.</summary>
public sealed class GgufTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-").FullName;

    [Fact]
    public void The_model_that_ships_becomes_the_GGUF_file_that_llama_cpp_read()
    {
        Assert.SkipUnless(Directory.Exists(Repository.Shared("formats", "gguf")), Golden.GgufGolden.NoFormats);
        Assert.Equal(File.ReadAllBytes(Repository.Shared("formats", "gguf", "tales659K-F32.gguf")), Tales("f32"));
    }

    [Theory]
    [InlineData("f32")]
    [InlineData("f16")]
    [InlineData("bf16")]
    public void A_checkpoint_and_its_GGUF_file_tell_the_same_story(string type)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using ModelFile file = ModelFile.Open(Write(type + ".gguf", Tales(type)));
        using FastTransformer expected = new(checkpoint.Config, checkpoint.Weights), actual = new(file.Config, file.Weights);
        Assert.Equal(checkpoint.Config, file.Config);
        Assert.Equal(type, file.Weights.DescribeTypes());
        Assert.Equal(Story(expected), Story(actual));
        if (type == "f32")
            Bits.AssertEqual(Logits(expected, 1, 3), Logits(actual, 1, 3));
    }

    [Theory]
    [InlineData("q8_0")]
    [InlineData("q4_0")]
    public void Blocks_are_those_that_llama_cpp_made_of_the_same_model(string type)
    {
        Assert.SkipUnless(Directory.Exists(Repository.Shared("formats", "gguf")), Golden.GgufGolden.NoFormats);
        string theirs = Repository.Shared("formats", "gguf", $"tales659K-{type.ToUpperInvariant()}.gguf");
        using GgufFile expected = GgufFile.Open(theirs), actual = GgufFile.Open(Write("ours.gguf", Tales(type)));
        Assert.Equal(expected.Tensors.Count, actual.Tensors.Count);
        foreach (GgufTensor tensor in actual.Tensors)
        {
            GgufTensor same = expected.Tensors.Single(other => other.Name == tensor.Name);
            Assert.Equal((same.Type, same.Bytes), (tensor.Type, tensor.Bytes));
            Assert.True(Data(same).Span.SequenceEqual(Data(tensor).Span), tensor.Name);
        }

        static ReadOnlyMemory<byte> Data(GgufTensor tensor) => tensor.File.Slice<byte>(tensor.Offset, (int)tensor.Bytes);
    }

    [Theory]
    [InlineData("variants", "base-F16-ggufv1.gguf")]
    [InlineData("variants", "nested-array-kv.gguf")]
    [InlineData("variants", "rope-yarn4.gguf")]
    [InlineData("variants", "attn-bias.gguf")]
    [InlineData("variants", "bpe-small-llama31.gguf")]
    public void A_GGUF_file_written_again_is_the_same_model(params string[] file)
    {
        Assert.SkipUnless(Directory.Exists(Repository.Shared("formats", "gguf")), Golden.GgufGolden.NoFormats);
        using ModelFile source = ModelFile.Open(Repository.Shared(["formats", "gguf", .. file]));
        using MemoryStream stream = new();
        GgufModelWriter.Create((GgufModel)source, "f32").Write(stream);
        using ModelFile copy = ModelFile.Open(Write("copy.gguf", stream.ToArray()));
        Assert.Equal(source.Config, copy.Config);
        using Transformer a = new(source.Config, source.Weights), b = new(copy.Config, copy.Weights);
        Bits.AssertEqual(Logits(a, 1, 300, 17), Logits(b, 1, 300, 17));
        GgufMetadata expected = ((GgufModel)source).Metadata, actual = ((GgufModel)copy).Metadata;
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(expected.GetStrings("tokenizer.ggml.tokens")!.Select(piece => Convert.ToHexString(piece.Span)),
            actual.GetStrings("tokenizer.ggml.tokens")!.Select(piece => Convert.ToHexString(piece.Span)));
    }

    [Fact]
    public void Heads_may_be_wider_or_narrower_than_dim_divided_among_them()
    {
        foreach (int headSize in new[] { 2, 6, 20 })
        {
            Config config = SmallGguf.Config with { HeadSize = headSize };
            using ModelFile file = ModelFile.Open(Write("heads.gguf", SmallGguf.Create(config)));
            Assert.Equal((config, 2 * headSize, headSize), (file.Config, file.Config.QDim, file.Config.KvDim));
            AssertFastIsSimple(file);
        }
    }

    [Fact]
    public void Biases_of_every_product_are_added()
    {
        string[] biases = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
        using ModelFile without = ModelFile.Open(Write("without.gguf", SmallGguf.Create()));
        foreach (string bias in biases)
        {
            using ModelFile with = ModelFile.Open(Write(bias + ".gguf", SmallGguf.Create(tensors: tensors =>
            {
                foreach (int layer in new[] { 0, 1 })
                    tensors.Add(($"blk.{layer}.{bias}.bias", [tensors.Single(t => t.Name == $"blk.{layer}.{bias}.weight").Dimensions[1]]));
            })));
            AssertFastIsSimple(with);
            using Transformer a = new(without.Config, without.Weights), b = new(with.Config, with.Weights);
            Assert.NotEqual(Logits(a, 1, 2), Logits(b, 1, 2));
        }
    }

    [Fact]
    public void A_model_without_output_weight_has_a_tied_classifier()
    {
        using ModelFile tied = ModelFile.Open(Write("tied.gguf", SmallGguf.Create()));
        Assert.True(tied.Weights.IsClassifierShared);
        byte[] own = SmallGguf.Create(tensors: tensors => tensors.Add(("output.weight", [8, 16])));
        using ModelFile untied = ModelFile.Open(Write("own.gguf", own));
        Assert.False(untied.Weights.IsClassifierShared);
    }

    [Fact]
    public void A_context_is_no_longer_than_a_sliding_window()
    {
        byte[] bytes = SmallGguf.Create(metadata: values => values["llama.attention.sliding_window"] = 20u);
        using ModelFile file = ModelFile.Open(Write("window.gguf", bytes));
        Assert.Equal(20, file.Config.SeqLen);
    }

    [Fact]
    public void A_long_context_takes_memory_as_it_fills()
    {
        using ModelFile file = ModelFile.Open(Write("long.gguf", SmallGguf.Create(SmallGguf.Config with { SeqLen = 1 << 24 })));
        using Transformer transformer = new(file.Config, file.Weights);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Logits(transformer, 1, 2, 3);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void Models_that_differ_in_nothing_but_RoPE_or_epsilon_have_other_fingerprints()
    {
        Config[] configs =
        [
            SmallGguf.Config, SmallGguf.Config with { NormEpsilon = 1e-6f }, SmallGguf.Config with { RopeBase = 500000 },
            SmallGguf.Config with { RopeDim = 2 }, SmallGguf.Config with { RopeScaling = new RopeScaling(4) },
            SmallGguf.Config with { RopeScaling = RopeScaling.Yarn(4, 10000, 4, 8) },
        ];
        using ModelFile file = ModelFile.Open(Write("model.gguf", SmallGguf.Create()));
        IEnumerable<string> fingerprints = configs.Select(config => Convert.ToHexString(ModelFingerprint.Of(config, file.Weights)));
        Assert.Equal(configs.Length, fingerprints.Distinct().Count());
    }

    [Fact]
    public void Metadata_come_in_all_types()
    {
        using GgufFile file = GgufFile.Open(Write("types.gguf", SmallGguf.Create()));
        GgufMetadata metadata = file.Metadata;
        Assert.Equal("llama", metadata.GetString("general.architecture"));
        Assert.Equal((8, (int?)null), (metadata.GetInteger("llama.embedding_length", 1, 8), metadata.GetInteger("absent", 0, 1)));
        Assert.Null(metadata.GetString("absent"));
        Assert.Null(metadata.GetStrings("absent"));
        Assert.Equal("piece 15"u8.ToArray(), metadata.GetStrings("tokenizer.ggml.tokens")![15].ToArray());
        Assert.Equal("tokenizer.ggml.scores: expected an array of whole numbers, found an array of f32",
            Assert.Throws<ModelFileException>(() => metadata.GetIntegers("tokenizer.ggml.scores")).Reason);
        Assert.Equal("general.architecture: expected a float, found text",
            Assert.Throws<ModelFileException>(() => metadata.GetFloat("general.architecture")).Reason);
    }

    [Fact]
    public void A_model_in_parts_is_opened_by_its_first()
    {
        byte[] whole = SmallGguf.Create();
        string[] paths = [.. Enumerable.Range(1, 3).Select(part => Path.Combine(_folder, $"m-0000{part}-of-00003.gguf"))];
        foreach ((int i, string path) in paths.Index())
            File.WriteAllBytes(path, Part(i));
        using (ModelFile one = ModelFile.Open(Write("one.gguf", whole)), parts = ModelFile.Open(paths[0]))
        {
            using Transformer a = new(one.Config, one.Weights), b = new(parts.Config, parts.Weights);
            Assert.Equal(Logits(a, 1, 2).Length, Logits(b, 1, 2).Length);
            Assert.Equal(paths.Sum(path => new FileInfo(path).Length), parts.Length);
            Assert.Equal(one.Weights.Named().Count(), parts.Weights.Named().Count());
        }
        Assert.Equal($"split.no: expected 0, the first part: {paths[0]}, found 1", Refuse(paths[1]));
        string renamed = Write("renamed.gguf", File.ReadAllBytes(paths[0]));
        Assert.Contains("a name that ends in -00001-of-00003.gguf", Refuse(renamed), StringComparison.Ordinal);
        File.Copy(paths[1], paths[2], overwrite: true);
        Assert.Equal("split.no: expected 2, found 1", Refuse(paths[0]));
        File.Delete(paths[2]);
        Assert.Equal($"file: expected all of the 3 parts that it is split into, found no {paths[2]}", Refuse(paths[0]));

        byte[] Part(int i) => SmallGguf.Create(
            metadata: values =>
            {
                if (i > 0)
                    values.Clear();
                (values["split.no"], values["split.count"], values["split.tensors.count"]) = ((uint)i, 3u, 20u);
            },
            tensors: tensors => tensors.RemoveAll(tensor => tensors.IndexOf(tensor) % 3 != i && tensor.Name.Length > 0));
    }

    private sealed class Steps : List<long>, IProgress<long>
    {
        public void Report(long value) => Add(value);
    }

    [Fact]
    public void Progress_is_told_of_the_parts_of_a_tensor()
    {
        const int Dim = 64, Vocab = 1 << 14; // a million weights
        Float32Tensor embedding = new(Vocab, Dim, new float[Vocab * Dim]);
        Weights weights = new() { TokenEmbedding = embedding, Layers = [], RmsFinal = new float[Dim], Classifier = embedding };
        GgufWriter writer = GgufModelWriter.Create("large", new Config(Dim, 4, 0, 1, 1, Vocab, 8), weights, null, "q8_0");
        Steps steps = [];
        writer.Write(Stream.Null, steps);
        Assert.Equal(steps.Order(), steps);
        Assert.Equal(writer.Length, steps[^1]);
        Assert.InRange(steps.Distinct().Count(), 4, 100);
    }

    private static byte[] Tales(string type)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"), checkpoint.Config.VocabSize);
        using MemoryStream stream = new();
        GgufWriter writer = GgufModelWriter.Create("tales659K", checkpoint.Config, checkpoint.Weights, tokenizer, type);
        writer.Write(stream);
        Assert.Equal(writer.Length, stream.Length);
        return stream.ToArray();
    }

    private static int[] Story(FastTransformer transformer) =>
        Generating.Tokens(transformer, new Sampler(transformer.Config.VocabSize, 0, 1, 1), [1], 40);

    private static void AssertFastIsSimple(ModelFile file)
    {
        using Transformer simple = new(file.Config, file.Weights);
        using FastTransformer fast = new(file.Config, file.Weights, threads: 2);
        float[] expected = Logits(simple, 1, 2, 3, 4, 5), actual = Logits(fast, 1, 2, 3, 4, 5);
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-4f));
    }

    private static float[] Logits(ITransformer transformer, params int[] tokens)
    {
        float[] logits = new float[tokens.Length * transformer.Config.VocabSize];
        KvCache cache = new(transformer.Config);
        transformer.Forward([.. tokens.Select(token => new Row(token, cache, Want.Logits))], logits);
        return logits;
    }

    private static string Refuse(string path) => Assert.Throws<ModelFileException>(() => ModelFile.Open(path).Dispose()).Reason;

    private string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
