using System.Buffers.Binary;
using System.Text;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Shared;

/// <summary>GGUF files of a small random model, and where in their bytes the numbers are that a reader must not believe.</summary>
internal static class SmallGguf
{
    public static readonly Config Config = new(8, 12, 2, 2, 1, 16, 32);

    private static readonly string[] Architecture =
    [
        "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
        "attention.layer_norm_rms_epsilon",
    ];

    /// <summary>A file as it should be, with arrays of all kinds, after changes to what goes into it.</summary>
    public static byte[] Create(Config? config = null, Action<SortedDictionary<string, object>>? metadata = null,
        Action<List<(string Name, long[] Dimensions)>>? tensors = null)
    {
        config ??= Config;
        SortedDictionary<string, object> values = new(StringComparer.Ordinal) { ["general.architecture"] = "llama" };
        object[] numbers =
            [config.LayerCount, config.SeqLen, config.Dim, config.HiddenDim, config.HeadCount, config.KvHeadCount, config.NormEpsilon];
        foreach ((string key, object value) in Architecture.Zip(numbers))
            values["llama." + key] = value is int number ? (uint)number : value;
        if (config.QDim != config.Dim)
            values["llama.attention.key_length"] = values["llama.attention.value_length"] = (uint)config.HeadSize;
        values["llama.rope.freq_base"] = config.RopeBase;
        values["llama.rope.dimension_count"] = (uint)config.RopeDim;
        int[] ids = [.. Enumerable.Range(0, config.VocabSize)];
        values["tokenizer.ggml.tokens"] = Array.ConvertAll(ids, id => Encoding.UTF8.GetBytes($"piece {id}"));
        values["tokenizer.ggml.scores"] = new float[config.VocabSize];
        values["tokenizer.ggml.token_type"] = Enumerable.Repeat(1, config.VocabSize).ToArray();
        values["tokenizer.ggml.add_bos_token"] = true;
        metadata?.Invoke(values);

        List<(string Name, long[] Dimensions)> shapes = Shapes(config);
        tensors?.Invoke(shapes);
        GgufWriter writer = new();
        Random random = new(1);
        foreach ((string key, object value) in values)
            Add(writer, key, value);
        foreach ((string name, long[] dimensions) in shapes)
            writer.AddTensor(name, GgmlType.F32, dimensions, output => output.Write(Numbers(random, dimensions)));
        using MemoryStream stream = new();
        writer.Write(stream);
        Assert.Equal(writer.Length, stream.Length);
        return stream.ToArray();
    }

    /// <summary>A count or a length in a file, of eight bytes.</summary>
    public sealed record Place(string Name, int Offset);

    /// <summary>Reads a file of version 3 by the format's description, and says where its counts and lengths are.</summary>
    public static List<Place> Counts(byte[] file)
    {
        List<Place> places = [new("n_tensors", 8), new("n_kv", 16)];
        int at = 24;
        ulong tensors = BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(8));
        ulong keys = BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(16));
        for (ulong i = 0; i < keys; i++)
        {
            string key = Text($"key {i}");
            Value(UInt32(), key);
        }
        for (ulong i = 0; i < tensors; i++)
        {
            string name = Text($"tensor {i}");
            for (uint left = UInt32(); left > 0; left--)
                Count($"{name}: dims");
            at += 4;
            Count($"{name}: offset");
        }
        return places;

        uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan((at += 4) - 4));

        ulong Count(string name)
        {
            places.Add(new(name, at));
            return BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan((at += 8) - 8));
        }

        string Text(string name)
        {
            int length = (int)Count($"{name}: length");
            return Encoding.UTF8.GetString(file.AsSpan((at += length) - length, length));
        }

        void Value(uint type, string key)
        {
            if (type == 8)
                Text(key);
            else if (type != 9)
                at += type switch { 0 or 1 or 7 => 1, 2 or 3 => 2, 10 or 11 or 12 => 8, _ => 4 };
            else
            {
                uint element = UInt32();
                ulong count = Count($"{key}: count");
                for (ulong i = 0; i < count; i++)
                    Value(element, $"{key} {i}");
            }
        }
    }

    private static List<(string Name, long[] Dimensions)> Shapes(Config c)
    {
        List<(string, long[])> shapes = [("token_embd.weight", [c.Dim, c.VocabSize])];
        for (int l = 0; l < c.LayerCount; l++)
        {
            shapes.AddRange([
                ($"blk.{l}.attn_norm.weight", [c.Dim]), ($"blk.{l}.attn_q.weight", [c.Dim, c.QDim]),
                ($"blk.{l}.attn_k.weight", [c.Dim, c.KvDim]), ($"blk.{l}.attn_v.weight", [c.Dim, c.KvDim]),
                ($"blk.{l}.attn_output.weight", [c.QDim, c.Dim]), ($"blk.{l}.ffn_norm.weight", [c.Dim]),
                ($"blk.{l}.ffn_gate.weight", [c.Dim, c.HiddenDim]), ($"blk.{l}.ffn_up.weight", [c.Dim, c.HiddenDim]),
                ($"blk.{l}.ffn_down.weight", [c.HiddenDim, c.Dim])]);
        }
        shapes.Add(("output_norm.weight", [c.Dim]));
        return shapes;
    }

    private static byte[] Numbers(Random random, long[] dimensions)
    {
        byte[] bytes = new byte[4 * dimensions.Aggregate((a, b) => a * b)];
        for (int i = 0; i < bytes.Length; i += 4)
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i), random.NextSingle() + (dimensions.Length == 1 ? 1 : -0.5f));
        return bytes;
    }

    private static void Add(GgufWriter writer, string key, object value)
    {
        switch (value)
        {
            case string text: writer.Add(key, text); break;
            case uint number: writer.Add(key, number); break;
            case float number: writer.Add(key, number); break;
            case bool flag: writer.Add(key, flag); break;
            case byte[][] texts: writer.Add(key, texts); break;
            case float[] numbers: writer.Add(key, numbers); break;
            case int[] numbers: writer.Add(key, numbers); break;
            default: throw new ArgumentException($"{value.GetType()}", nameof(value));
        }
    }
}
