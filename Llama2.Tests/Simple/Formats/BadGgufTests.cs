using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Simple.Formats;

/// <summary>Whatever is wrong with a GGUF file, one typed error names file and field, and nothing is allocated by a number in it.</summary>
public sealed class BadGgufTests
{
    private static readonly byte[] Good = SmallGguf.Create();
    private static readonly string[] Floats = ["epsilon", "freq_base", "factor"]; // how keys of floats end

    public static TheoryData<string, string> BadMetadata => new()
    {
        { "general.architecture=qwen2", "expected llama: Llama 1 to 3.2" },
        { "general.architecture", "found none" },
        { "general.alignment=0", "expected a whole number from 1" },
        { "general.alignment=24", "expected a power of two, found 24" },
        { "general.alignment=4294967295", "expected a whole number from 1" },
        { "llama.block_count", "expected a value, found none" },
        { "llama.block_count=0", "expected a whole number from 1" },
        { "llama.block_count=600", "blk.2.attn_norm.weight: expected a tensor of 8, found none" },
        { "llama.block_count=4294967295", "expected a whole number from 1" },
        { "llama.block_count=1", "blk.1.attn_norm.weight: expected only tensors that a model of the Llama family has" },
        { "llama.context_length=0", "expected a whole number from 1" },
        { "llama.context_length=4294967295", "expected a whole number from 1" },
        { "llama.embedding_length=12", "token_embd.weight: expected a tensor of 12 x 16, found 8 x 16" },
        { "llama.embedding_length=9", "attention.head_count: expected a divisor of embedding_length 9" },
        { "llama.feed_forward_length=11", "blk.0.ffn_gate.weight: expected a tensor of 8 x 11, found 8 x 12" },
        { "llama.attention.head_count=0", "expected a whole number from 1" },
        { "llama.attention.head_count=8", "expected an even number (RoPE turns pairs), found 1" },
        { "llama.attention.head_count_kv=3", "expected a divisor of head_count 2, found 3" },
        { "llama.attention.key_length=5", "expected an even number" },
        { "llama.attention.key_length=16777216", "expected at most 16777216 floats in all heads" },
        { "llama.attention.value_length=6", "expected key_length 4, found 6" },
        { "llama.attention.layer_norm_rms_epsilon", "expected a value, found none" },
        { "llama.attention.layer_norm_rms_epsilon=NaN", "found NaN" },
        { "llama.rope.dimension_count=3", "expected an even number" },
        { "llama.rope.dimension_count=6", "expected a whole number from 2 to 4" },
        { "llama.rope.freq_base=1", "found 1" },
        { "llama.rope.scaling.type=longrope", "expected none, linear or yarn, found longrope" },
        { "llama.rope.scaling.factor=0.5", "found 0.5" },
        { "llama.expert_count=8", "expected 0: mixtures of experts are not run, found 8" },
        { "llama.vocab_size=0", "16" }, // tokens say the size
        { "split.count=2", "expected a name that ends in -00001-of-00002.gguf" },
    };

    [Theory, MemberData(nameof(BadMetadata))]
    public void Metadata_that_make_no_model_are_refused_by_key(string change, string message)
    {
        string key = change.Split('=')[0], value = change.Split('=').ElementAtOrDefault(1) ?? "";
        byte[] bytes = SmallGguf.Create(metadata: values =>
        {
            if (value.Length == 0)
                values.Remove(key);
            else
                values[key] = Floats.Any(name => key.EndsWith(name, StringComparison.Ordinal))
                    ? float.Parse(value, CultureInfo.InvariantCulture)
                    : uint.TryParse(value, out uint number) ? number : value;
        });
        if (key == "llama.vocab_size")
        {
            using TemporaryFile file = new(bytes);
            using ModelFile model = ModelFile.Open(file.Path);
            Assert.Equal(16, model.Config.VocabSize);
            return;
        }
        Assert.Contains(message, Refuse(bytes).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Arrays_for_each_layer_must_be_whole_and_the_same()
    {
        AssertRefused("expected a number for each of 2 layers, found 3", (int[])[1, 1, 1]);
        AssertRefused("expected the same for all layers, found 1 to 2", (int[])[1, 2]);
        AssertRefused("expected 1 to", (int[])[-1, -1]);
        AssertRefused("expected an array of whole numbers", (float[])[1, 1]);

        static void AssertRefused(string message, object value) => AssertContains(message,
            Refuse(SmallGguf.Create(metadata: values => values["llama.attention.head_count_kv"] = value)).Message);
    }

    [Fact]
    public void A_file_cut_anywhere_is_refused()
    {
        int end = Good.Length - 31; // less than the padding behind the last tensor
        for (int i = 0; i < 50; i++)
            Refuse(Good.AsSpan(0, (int)((long)end * i / 50)));
        for (int length = 1; length < 2000; length += 7)
            Refuse(Good.AsSpan(0, length));
    }

    [Fact]
    public void No_count_or_length_is_believed()
    {
        List<SmallGguf.Place> places = SmallGguf.Counts(Good);
        Assert.True(places.Count > 100);
        foreach ((string name, int offset) in places)
        {
            foreach (ulong value in new ulong[] { 0, 1, 1UL << 31, 1UL << 63, ulong.MaxValue })
            {
                byte[] bytes = [.. Good];
                BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(offset), value);
                long before = GC.GetAllocatedBytesForCurrentThread();
                if (value > 1)
                    Refuse(bytes);
                else
                    TryOpen(bytes);
                Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 22, $"{name} of {value}");
            }
        }
    }

    [Fact]
    public void No_type_is_believed()
    {
        for (int at = 4; at < 1500; at++)
        {
            foreach (uint value in new uint[] { 9, uint.MaxValue })
            {
                byte[] bytes = [.. Good];
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);
                TryOpen(bytes);
            }
        }
    }

    [Theory]
    [InlineData(0, "version: expected 1, 2 or 3, found 0")]
    [InlineData(4, "version: expected 1, 2 or 3, found 4")]
    [InlineData(3 << 24, "version: expected a little-endian file, found a big-endian one")]
    public void Another_version_is_refused(int version, string reason)
    {
        byte[] bytes = [.. Good];
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4), version);
        Assert.Equal(reason, Refuse(bytes).Reason);
    }

    [Fact]
    public void Tensors_lie_where_they_may_and_once()
    {
        List<SmallGguf.Place> places = SmallGguf.Counts(Good);
        AssertContains("expected a multiple of the alignment 32, found 33", With("blk.0.attn_norm.weight: offset", 33));
        AssertContains("expected an offset of at least", With("blk.0.attn_q.weight: offset", 0));
        AssertContains("the file may have been cut", With("output_norm.weight: offset", 1 << 20));
        AssertContains("dimension 0 of 0", With("token_embd.weight: dims", 0));
        byte[] twice = SmallGguf.Create(tensors: tensors => tensors.Add(tensors[^1]));
        Assert.Equal("output_norm.weight: expected a tensor that occurs once, found it again", Refuse(twice).Reason);
        byte[] unknown = SmallGguf.Create(tensors: tensors => tensors.Add(("blk.0.attn_q_norm.weight", [4])));
        Assert.StartsWith("blk.0.attn_q_norm.weight: expected only tensors", Refuse(unknown).Reason, StringComparison.Ordinal);
        byte[] without = SmallGguf.Create(tensors: tensors => tensors.RemoveAt(3));
        Assert.Equal("blk.0.attn_k.weight: expected a tensor of 8 x 4, found none", Refuse(without).Reason);

        string With(string place, ulong value)
        {
            byte[] bytes = [.. Good];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(places.Find(p => p.Name == place)!.Offset), value);
            return Refuse(bytes).Reason;
        }
    }

    [Fact]
    public void A_key_occurs_once() => Assert.Equal("b: expected a key that occurs once, found it again",
        Refuse(Raw(keys: 2, [.. Key("b", 0), 1, .. Key("b", 0), 1])).Reason);

    [Fact]
    public void A_bool_is_0_or_1() =>
        Assert.Equal("b: expected a bool of 0 or 1, found 2", Refuse(Raw(keys: 1, [.. Key("b", 7), 2])).Reason);

    [Fact]
    public void Arrays_in_arrays_end()
    {
        List<byte> nested = [.. Key("deep", 9)];
        for (int i = 0; i < 100_000; i++)
            nested.AddRange([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        Assert.Contains("deep", Refuse(Raw(keys: 1, [.. nested])).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_are_shown_in_one_line()
    {
        Assert.DoesNotContain('\n', Refuse(Raw(keys: 1, [.. Key("a\nb\u001b", 99)])).Message);
        using TemporaryFile file = new(Raw(keys: 1, [.. Key("a\nb\u2028", 0), 1]));
        using GgufFile gguf = GgufFile.Open(file.Path);
        Assert.StartsWith("a\ufffdb\ufffd: ", Assert.Throws<ModelFileException>(() => gguf.Metadata.GetString("a\nb\u2028")).Reason,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Factors_of_RoPE_are_divisors()
    {
        byte[] good = SmallGguf.Create(tensors: tensors => tensors.Add(("rope_freqs.weight", [2])));
        foreach (float factor in new[] { 0, -1, 0.5f, float.NaN, float.PositiveInfinity })
        {
            byte[] bytes = [.. good];
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(bytes.Length - 32), factor);
            Assert.StartsWith("rope_freqs.weight: expected divisors of at least 1", Refuse(bytes).Reason, StringComparison.Ordinal);
        }
    }

    private static void AssertContains(string expected, string actual) => Assert.Contains(expected, actual, StringComparison.Ordinal);

    private static byte[] Key(string key, uint type) =>
        [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(key)), .. Encoding.UTF8.GetBytes(key), .. BitConverter.GetBytes(type)];

    private static byte[] Raw(ulong keys, byte[] rest) =>
        [.. "GGUF"u8, 3, 0, 0, 0, .. BitConverter.GetBytes(0UL), .. BitConverter.GetBytes(keys), .. rest];

    private static ModelFileException Refuse(ReadOnlySpan<byte> bytes) =>
        TryOpen(bytes) ?? throw new Xunit.Sdk.XunitException("the file was opened");

    // The error, or null if the file holds a model.
    private static ModelFileException? TryOpen(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return new ModelFileException("", "", "", "");
        using TemporaryFile file = new(bytes);
        try
        {
            using ModelFile model = ModelFile.Open(file.Path);
            return null;
        }
        catch (ModelFileException e)
        {
            Assert.StartsWith(file.Path, e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', e.Message);
            return e;
        }
    }
}
