using System.Buffers.Binary;

namespace Llama2.Simple.Formats;

/// <summary>Tensors of one name in a checkpoint: one for each layer, or one in all.</summary>
/// <param name="Name">run.c's name.</param>
/// <param name="Count">How many follow one another.</param>
/// <param name="Rows">Rows of each.</param>
/// <param name="Columns">Columns of each.</param>
/// <param name="GroupSize">Elements a scale where they are int8, 0 where they are float32.</param>
public sealed record TensorSpec(string Name, int Count, int Rows, int Columns, int GroupSize)
{
    /// <summary>Elements of one of them.</summary>
    public long Elements => (long)Rows * Columns;

    /// <summary>Bytes of one of them: float32, or all int8 values and then all float32 scales.</summary>
    public long Bytes => GroupSize == 0 ? sizeof(float) * Elements : Elements + sizeof(float) * (Elements / GroupSize);
}

/// <summary>
/// The header of a llama2.c checkpoint, and with it where each tensor lies. The three versions are those of llama2.c's
/// export.py: 0 is the legacy float32 file, 1 the float32 file with a magic number, 2 its int8 sibling.
/// </summary>
/// <param name="Version">0, 1 or 2.</param>
/// <param name="Config">The model's shape.</param>
/// <param name="SharedClassifier">Whether the classifier is the embedding table.</param>
/// <param name="GroupSize">Elements a scale in version 2, else 0.</param>
public sealed record CheckpointHeader(int Version, Config Config, bool SharedClassifier, int GroupSize = 0)
{
    private const uint Magic = 0x616b3432; // "ak42" in ASCII
    private const int LegacyBytes = 7 * sizeof(int);
    private const int HeaderBytes = 256;
    private const int ConfigOffset = 8, SharedOffset = 36, GroupSizeOffset = 37;

    /// <summary>The longest context that is believed. A position is then exact as a float, and an absurd one is an error.</summary>
    public const int MaxSeqLen = 1 << 24;

    private static readonly string[] Fields = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];

    /// <summary>Bytes before the first tensor.</summary>
    public int Bytes => Version == 0 ? LegacyBytes : HeaderBytes;

    /// <summary>Bytes of the whole file.</summary>
    public long FileLength => (long)ExactLength(Tensors());

    /// <summary>The tensors in the order of the file.</summary>
    public TensorSpec[] Tensors()
    {
        (int dim, int hidden, int layers, int vocab, int kvDim) = (Config.Dim, Config.HiddenDim, Config.LayerCount, Config.VocabSize, Config.KvDim);
        TensorSpec embedding = new("token_embedding_table", 1, vocab, dim, GroupSize);
        TensorSpec rmsAtt = new("rms_att_weight", layers, 1, dim, 0);
        TensorSpec rmsFfn = new("rms_ffn_weight", layers, 1, dim, 0);
        TensorSpec rmsFinal = new("rms_final_weight", 1, 1, dim, 0);
        TensorSpec[] attention = [
            new("wq", layers, dim, dim, GroupSize), new("wk", layers, kvDim, dim, GroupSize),
            new("wv", layers, kvDim, dim, GroupSize), new("wo", layers, dim, dim, GroupSize)];
        TensorSpec[] ffn = [new("w1", layers, hidden, dim, GroupSize), new("w2", layers, dim, hidden, GroupSize), new("w3", layers, hidden, dim, GroupSize)];
        TensorSpec[] classifier = SharedClassifier ? [] : [new("wcls", 1, vocab, dim, GroupSize)];
        return Version == 0
            ? [embedding, rmsAtt, .. attention, rmsFfn, .. ffn, rmsFinal, new("rope_tables", 2, Config.SeqLen, Config.HeadSize / 2, 0), .. classifier]
            : [rmsAtt, rmsFfn, rmsFinal, embedding, .. attention, .. ffn, .. classifier];
    }

    /// <summary>Reads and checks a header, and that the file is exactly as long as it says.</summary>
    /// <param name="start">The file's first 256 bytes, or all of a shorter file.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <param name="path">The file's name, for messages.</param>
    /// <exception cref="CheckpointException">A field is out of range, or the length differs.</exception>
    public static CheckpointHeader Parse(ReadOnlySpan<byte> start, long fileLength, string path)
    {
        bool legacy = start.Length < sizeof(uint) || BinaryPrimitives.ReadUInt32LittleEndian(start) != Magic;
        int bytes = legacy ? LegacyBytes : HeaderBytes;
        if (start.Length < bytes)
            throw Error("header", $"{bytes} bytes", $"{start.Length}");

        int version = legacy ? 0 : BinaryPrimitives.ReadInt32LittleEndian(start[4..]);
        if (version is not (0 or 1 or 2) || (!legacy && version == 0))
            throw Error("version", "1 or 2", $"{version}");

        ReadOnlySpan<byte> ints = start[(legacy ? 0 : ConfigOffset)..];
        Span<int> values = stackalloc int[Fields.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = BinaryPrimitives.ReadInt32LittleEndian(ints[(i * sizeof(int))..]);
            bool negativeAllowed = legacy && Fields[i] == "vocab_size"; // "negative vocab size is hacky way of signaling unshared weights"
            if (values[i] < 1 && !(negativeAllowed && values[i] is < 0 and > int.MinValue))
                throw Error(Fields[i], negativeAllowed ? "a number other than 0" : "a positive number", $"{values[i]}");
        }
        Config config = new(values[0], values[1], values[2], values[3], values[4], Math.Abs(values[5]), values[6]);

        byte shared = legacy ? (byte)(values[5] > 0 ? 1 : 0) : start[SharedOffset];
        int groupSize = version == 2 ? BinaryPrimitives.ReadInt32LittleEndian(start[GroupSizeOffset..]) : 0;
        CheckpointHeader header = new(version, config, shared == 1, groupSize);
        if (shared > 1)
            throw Error("shared_classifier", "0 or 1", $"{shared}");
        if (!legacy && start[(version == 2 ? GroupSizeOffset + sizeof(int) : GroupSizeOffset)..HeaderBytes].ContainsAnyExcept((byte)0))
            throw Error("header", "zeros to byte 256", "something else");
        header.Check(Error);

        decimal expected = header.ExactLength(header.Tensors());
        if (expected != fileLength)
            throw Error("length", $"{expected} bytes for this header", $"{fileLength}");
        return header;

        CheckpointException Error(string field, string expected, string found) => new(path, field, expected, found);
    }

    /// <summary>Checks what the fields must be to one another.</summary>
    private void Check(Func<string, string, string, CheckpointException> error)
    {
        if (Config.Dim % Config.HeadCount != 0)
            throw error("n_heads", $"a divisor of dim {Config.Dim}", $"{Config.HeadCount}");
        if (Config.HeadSize % 2 != 0)
            throw error("n_heads", "an even head size (RoPE turns pairs)", $"{Config.Dim} / {Config.HeadCount} = {Config.HeadSize}");
        if (Config.HeadCount % Config.KvHeadCount != 0)
            throw error("n_kv_heads", $"a divisor of n_heads {Config.HeadCount}", $"{Config.KvHeadCount}");
        if (Config.SeqLen > MaxSeqLen)
            throw error("seq_len", $"at most {MaxSeqLen}", $"{Config.SeqLen}");
        if (Version == 2 && GroupSize < 1)
            throw error("group_size", "a positive number", $"{GroupSize}");
        foreach (TensorSpec tensor in Tensors())
        {
            if (tensor.Elements > Array.MaxLength)
                throw error(tensor.Name, $"at most {Array.MaxLength} elements", $"{tensor.Rows} x {tensor.Columns}");
            if (tensor.GroupSize > 0 && tensor.Elements % tensor.GroupSize != 0)
                throw error("group_size", $"a divisor of the {tensor.Elements} elements of {tensor.Name}", $"{tensor.GroupSize}");
        }
    }

    // 28 digits hold every product of three 32-bit fields, so nothing here can overflow. (Int128 does not compile ahead of time.)
    private decimal ExactLength(TensorSpec[] tensors)
    {
        decimal length = Bytes;
        foreach (TensorSpec tensor in tensors)
            length += (decimal)tensor.Count * tensor.Bytes;
        return length;
    }

    /// <summary>The header as it stands in a file.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Bytes];
        Span<byte> ints = bytes;
        if (Version > 0)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4), Version);
            bytes[SharedOffset] = SharedClassifier ? (byte)1 : (byte)0;
            ints = ints[ConfigOffset..];
        }
        if (Version == 2)
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(GroupSizeOffset), GroupSize);
        int vocab = Version == 0 && !SharedClassifier ? -Config.VocabSize : Config.VocabSize;
        int[] values = [Config.Dim, Config.HiddenDim, Config.LayerCount, Config.HeadCount, Config.KvHeadCount, vocab, Config.SeqLen];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteInt32LittleEndian(ints[(i * sizeof(int))..], values[i]);
        return bytes;
    }
}
