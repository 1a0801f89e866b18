using System.Buffers.Binary;

namespace Llama2.Simple.Formats.Llama2C;

/// <summary>Tensors of one name in a checkpoint: one for each layer, or one in all.</summary>
/// <param name="Name">run.c's name.</param>
/// <param name="Count">How many follow one another.</param>
/// <param name="Rows">Rows of each; a vector is one row.</param>
/// <param name="GroupSize">Elements a scale where they are int8, 0 where they are float32.</param>
public sealed record TensorSpec(string Name, int Count, int Rows, int Columns, int GroupSize)
{
    public long Elements => (long)Rows * Columns; // of one of them
    public bool IsFloat32 => GroupSize == 0;
    public string TypeName => IsFloat32 ? "f32" : "q8_0";

    /// <summary>Bytes of one of them: float32, or all int8 values and then all float32 scales.</summary>
    public long Bytes => IsFloat32 ? sizeof(float) * Elements : Elements + sizeof(float) * (Elements / GroupSize);
}

/// <summary>
/// The header of a llama2.c checkpoint, and with it where each tensor lies. The three versions are those of llama2.c's export.py: 0 is
/// the legacy float32 file, 1 the float32 file with a magic number, 2 its int8 sibling.
/// </summary>
/// <param name="GroupSize">Elements a scale in version 2, else 0.</param>
public sealed record CheckpointHeader(int Version, Config Config, bool SharedClassifier, int GroupSize = 0)
{
    private const uint Magic = 0x616b3432; // "ak42" in ASCII
    private const int LegacyBytes = 7 * sizeof(int), HeaderBytes = 256;
    private const int ConfigOffset = 8, SharedOffset = 36, GroupSizeOffset = 37;
    private const int VocabSizeField = 5;  // of Config.Fields
    private const int MaxExact = 1 << 24;  // positions and token ids up to this are exact in float32
    private const int MaxLayers = 1 << 14; // a hundred times Llama 2's; a file of holes must not become millions of objects

    public int Bytes => Version == 0 ? LegacyBytes : HeaderBytes; // before the first tensor
    public long FileLength => Bytes + Tensors().Sum(tensor => tensor.Count * tensor.Bytes); // far below 2^63 in what Check has passed

    /// <summary>The tensors in the order of the file.</summary>
    public TensorSpec[] Tensors()
    {
        int dim = Config.Dim, hidden = Config.HiddenDim, layers = Config.LayerCount, vocab = Config.VocabSize, kvDim = Config.KvDim;
        TensorSpec embedding = new("token_embedding_table", 1, vocab, dim, GroupSize);
        TensorSpec rmsAtt = new("rms_att_weight", layers, 1, dim, 0);
        TensorSpec rmsFfn = new("rms_ffn_weight", layers, 1, dim, 0);
        TensorSpec rmsFinal = new("rms_final_weight", 1, 1, dim, 0);
        TensorSpec[] attention = [
            new("wq", layers, dim, dim, GroupSize), new("wk", layers, kvDim, dim, GroupSize),
            new("wv", layers, kvDim, dim, GroupSize), new("wo", layers, dim, dim, GroupSize)];
        TensorSpec[] ffn = [
            new("w1", layers, hidden, dim, GroupSize), new("w2", layers, dim, hidden, GroupSize),
            new("w3", layers, hidden, dim, GroupSize)];
        TensorSpec[] classifier = SharedClassifier ? [] : [new("wcls", 1, vocab, dim, GroupSize)];
        TensorSpec ropeTables = new("rope_tables", 2, Config.SeqLen, Config.HeadSize / 2, 0);
        return Version == 0
            ? [embedding, rmsAtt, .. attention, rmsFfn, .. ffn, rmsFinal, ropeTables, .. classifier]
            : [rmsAtt, rmsFfn, rmsFinal, embedding, .. attention, .. ffn, .. classifier];
    }

    /// <summary>Reads and checks a header, and that the file is exactly as long as it says.</summary>
    /// <param name="start">The file's first 256 bytes, or all of a shorter file.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <param name="path">Its name, for messages.</param>
    /// <exception cref="ModelFileException">A field is out of range, or the length differs.</exception>
    public static CheckpointHeader Parse(ReadOnlySpan<byte> start, long fileLength, string path)
    {
        bool legacy = start.Length < sizeof(uint) || BinaryPrimitives.ReadUInt32LittleEndian(start) != Magic;
        int bytes = legacy ? LegacyBytes : HeaderBytes;
        if (start.Length < bytes)
            throw Error("header", $"{bytes} bytes", $"{start.Length}");

        int version = legacy ? 0 : BinaryPrimitives.ReadInt32LittleEndian(start[4..]);
        if (!legacy && version is not (1 or 2))
            throw Error("version", "1 or 2", $"{version}");

        ReadOnlySpan<byte> ints = start[(legacy ? 0 : ConfigOffset)..];
        Span<int> values = stackalloc int[Config.FieldNames.Count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = BinaryPrimitives.ReadInt32LittleEndian(ints[(i * sizeof(int))..]);
            bool negativeAllowed = legacy && i == VocabSizeField; // "negative vocab size is hacky way of signaling unshared weights"
            if (values[i] < 1 && !(negativeAllowed && values[i] is < 0 and > int.MinValue))
                throw Error(Config.FieldNames[i], negativeAllowed ? "a number other than 0" : "a positive number", $"{values[i]}");
        }
        byte shared = legacy ? (byte)(values[VocabSizeField] > 0 ? 1 : 0) : start[SharedOffset];
        values[VocabSizeField] = Math.Abs(values[VocabSizeField]);
        Config config = Config.FromFields(values);

        int groupSize = version == 2 ? BinaryPrimitives.ReadInt32LittleEndian(start[GroupSizeOffset..]) : 0;
        CheckpointHeader header = new(version, config, shared == 1, groupSize);
        if (shared > 1)
            throw Error("shared_classifier", "0 or 1", $"{shared}");
        if (!legacy && start[(version == 2 ? GroupSizeOffset + sizeof(int) : GroupSizeOffset)..HeaderBytes].ContainsAnyExcept((byte)0))
            throw Error("header", "zeros to byte 256", "something else");
        header.Check(Error);

        if (header.FileLength != fileLength)
            throw Error("length", $"{header.FileLength} bytes for this header", $"{fileLength}");
        return header;

        ModelFileException Error(string field, string expected, string found) => new(path, field, expected, found);
    }

    /// <summary>Checks what the fields must be to one another.</summary>
    internal void Check(Func<string, string, string, ModelFileException> error)
    {
        if (Config.Dim % Config.HeadCount != 0)
            throw error("n_heads", $"a divisor of dim {Config.Dim}", $"{Config.HeadCount}");
        if (Config.HeadSize % 2 != 0)
            throw error("n_heads", "an even head size (RoPE turns pairs)", $"{Config.Dim} / {Config.HeadCount} = {Config.HeadSize}");
        if (Config.HeadCount % Config.KvHeadCount != 0)
            throw error("n_kv_heads", $"a divisor of n_heads {Config.HeadCount}", $"{Config.KvHeadCount}");
        if (Config.LayerCount > MaxLayers)
            throw error("n_layers", $"at most {MaxLayers}", $"{Config.LayerCount}");
        if (Config.SeqLen > MaxExact)
            throw error("seq_len", $"at most {MaxExact}", $"{Config.SeqLen}");
        if (Config.VocabSize > MaxExact)
            throw error("vocab_size", $"at most {MaxExact}", $"{Config.VocabSize}");
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
        int[] values = Config.Fields;
        if (Version == 0 && !SharedClassifier)
            values[VocabSizeField] *= -1;
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteInt32LittleEndian(ints[(i * sizeof(int))..], values[i]);
        return bytes;
    }
}
