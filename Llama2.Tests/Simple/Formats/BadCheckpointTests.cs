using System.Buffers.Binary;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Formats;

/// <summary>Whatever is wrong with a checkpoint, one typed error names file and field, before anything is allocated.</summary>
public sealed class BadCheckpointTests
{
    private static readonly string[] Fields = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];

    public static TheoryData<int> Versions => [0, 1, 2];

    [Theory]
    [MemberData(nameof(Versions))]
    public void The_file_that_the_others_are_made_of_is_good(int version)
    {
        byte[] good = Good(version);
        using TemporaryFile file = new(good);
        using Checkpoint checkpoint = Checkpoint.Open(file.Path);
        Assert.Equal(version, checkpoint.Header.Version);
        Assert.Equal((file.Path, good.Length), (checkpoint.Path, checkpoint.Length));
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public void A_file_cut_at_any_length_is_refused(int version)
    {
        byte[] good = Good(version);
        for (int i = 0; i < 50; i++)
        {
            ModelFileException error = Refuse(good.AsSpan(0, (int)((long)good.Length * i / 50)));
            Assert.Contains(error.Field, new[] { "file", "header", "length" });
        }
        Assert.Equal("length", Refuse(good.AsSpan(0, good.Length - 1)).Field);
        Assert.Equal("length", Refuse([.. good, 0]).Field);
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public void A_file_cut_inside_its_header_is_refused(int version)
    {
        byte[] good = Good(version);
        int header = version == 0 ? 28 : 256;
        for (int length = 0; length < header; length++)
            Assert.Contains(Refuse(good.AsSpan(0, length)).Field, new[] { "file", "header" });
        Assert.Equal("length", Refuse(good.AsSpan(0, header)).Field);
    }

    public static TheoryData<int, string, int> FieldValues
    {
        get
        {
            TheoryData<int, string, int> data = [];
            foreach (int version in new[] { 0, 1, 2 })
            {
                foreach (string name in version == 2 ? Fields.Append("group_size") : Fields)
                {
                    foreach (int value in new[] { 0, -1, int.MinValue, 1 << 30, int.MaxValue })
                        data.Add(version, name, value);
                }
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(FieldValues))]
    public void A_header_field_out_of_range_is_refused(int version, string field, int value)
    {
        byte[] file = Good(version);
        int offset = field == "group_size" ? 37 : (version == 0 ? 0 : 8) + (sizeof(int) * Array.IndexOf(Fields, field));
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(offset), value);
        ModelFileException error = Refuse(file);
        bool vocabOfV0 = version == 0 && field == "vocab_size" && value == -1; // one token and an own classifier: the length is wrong
        if (value <= 0 && !vocabOfV0)
            Assert.Equal(field, error.Field);
    }

    [Theory]
    [InlineData(4, 3, "version")]
    [InlineData(4, 0, "version")]
    [InlineData(4, -1, "version")]
    [InlineData(36, 2, "shared_classifier")]
    [InlineData(41, 1, "header")]
    [InlineData(252, 1, "header")]
    [InlineData(37, 7, "group_size")]
    public void Other_parts_of_a_header_are_checked(int offset, int value, string field)
    {
        byte[] file = Good(2);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(offset), offset == 36
            ? value | (BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(offset)) & ~0xff) : value);
        Assert.Equal(field, Refuse(file).Field);
    }

    [Theory]
    [InlineData(3, 12, "n_heads", 5)] // 12 is no multiple of 5
    [InlineData(3, 12, "n_heads", 12)] // heads of one element
    [InlineData(4, 12, "n_kv_heads", 4)] // 6 heads cannot share 4
    public void Heads_must_fit(int index, int dim, string field, int value)
    {
        byte[] file = Good(1);
        Assert.Equal(dim, BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(8)));
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(8 + (sizeof(int) * index)), value);
        Assert.Equal(field, Refuse(file).Field);
    }

    [Fact]
    public void Empty_missing_and_folder_are_told_apart()
    {
        Assert.Contains("empty", Refuse([]).Message, StringComparison.Ordinal);
        string missing = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName(), "model.bin");
        Assert.Contains("nothing there", Assert.Throws<ModelFileException>(() => Checkpoint.Open(missing)).Message,
            StringComparison.Ordinal);
        ModelFileException folder = Assert.Throws<ModelFileException>(() => Checkpoint.Open(Path.GetTempPath()));
        Assert.Contains("folder", folder.Message, StringComparison.Ordinal);
        Assert.Equal("file", folder.Field);
    }

    [Fact]
    public void Ternary_weights_that_say_they_are_v1_are_refused()
    {
        Repository.SkipWithoutShared();
        Assert.Throws<ModelFileException>(() => Checkpoint.Open(Repository.Shared("weights", "bitllama_1M.bin")));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Weights_that_are_not_numbers_never_index_out_of_range(int version)
    {
        foreach (float poison in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue })
        {
            byte[] file = Good(version);
            for (int offset = version == 0 ? 28 : 256; offset + sizeof(float) <= file.Length; offset += sizeof(float))
                BinaryPrimitives.WriteSingleLittleEndian(file.AsSpan(offset), poison);
            using TemporaryFile temporary = new(file);
            using Checkpoint checkpoint = Checkpoint.Open(temporary.Path);
            using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
            foreach (float topp in new[] { 0f, 0.9f, 1f })
            {
                foreach (float temperature in new[] { 0f, 1e-30f, 1f })
                {
                    Sampler sampler = new(checkpoint.Config.VocabSize, temperature, topp, seed: 7);
                    int[] tokens = Generating.Tokens(transformer, sampler, [1, 3], checkpoint.Config.SeqLen);
                    Assert.All(tokens, token => Assert.InRange(token, 0, checkpoint.Config.VocabSize - 1));
                }
            }
        }
    }

    /// <summary>dim 12, 6 heads of 2, 3 key/value heads.</summary>
    private static byte[] Good(int version) =>
        (ModelShape.Tiny with { Version = version, KvHeads = 3, Hidden = 20, Vocab = 32, SeqLen = 24, Shared = true }).CreateFile();

    private static ModelFileException Refuse(ReadOnlySpan<byte> bytes)
    {
        using TemporaryFile file = new(bytes);
        string path = file.Path;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        ModelFileException error = Assert.Throws<ModelFileException>(() => Checkpoint.Open(path).Dispose());
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 1 << 20);
        Assert.Equal(path, error.Path);
        Assert.StartsWith($"{path}: {error.Field}: expected ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }
}
