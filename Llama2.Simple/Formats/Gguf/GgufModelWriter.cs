using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>Makes GGUF files, as llama.cpp reads them, of checkpoints of llama2.c and of other GGUF files.</summary>
public static class GgufModelWriter
{
    private const string FileTypeKey = "general.file_type";
    private const uint QuantizationVersion = 2;
    private const int ChunkElements = 1 << 18; // that are in memory at once, or one row

    /// <summary>Lists a model's metadata and tensors; <see cref="GgufWriter.Write"/> then writes them.</summary>
    /// <param name="types">The types of its matrices, one of <see cref="TypeMix.All"/> by its name; vectors are float32.</param>
    /// <exception cref="ArgumentException">The config has a scaling of RoPE.</exception>
    public static GgufWriter Create(string name, Config config, Weights weights, Tokenizer? tokenizer, string types)
    {
        if (config.RopeScaling is not null)
            throw new ArgumentException("a scaling of RoPE is not written", nameof(config));
        GgufWriter writer = new();
        writer.Add("general.architecture", GgufConfig.Architecture);
        writer.Add("general.name", name);
        writer.Add("llama.block_count", (uint)config.LayerCount);
        writer.Add("llama.context_length", (uint)config.SeqLen);
        writer.Add("llama.embedding_length", (uint)config.Dim);
        writer.Add("llama.feed_forward_length", (uint)config.HiddenDim);
        writer.Add("llama.attention.head_count", (uint)config.HeadCount);
        writer.Add("llama.attention.head_count_kv", (uint)config.KvHeadCount);
        if (config.QDim != config.Dim)
        {
            writer.Add("llama.attention.key_length", (uint)config.HeadSize);
            writer.Add("llama.attention.value_length", (uint)config.HeadSize);
        }
        writer.Add("llama.rope.freq_base", config.RopeBase);
        writer.Add("llama.attention.layer_norm_rms_epsilon", config.NormEpsilon);
        writer.Add(FileTypeKey, TypeMix.Find(types).FileType);
        writer.Add("llama.vocab_size", (uint)config.VocabSize);
        writer.Add("llama.rope.dimension_count", (uint)config.RopeDim);
        if (tokenizer is not null)
            AddTokenizer(writer, tokenizer);
        writer.Add("general.quantization_version", QuantizationVersion);

        AddTensors(writer, weights, TypeMix.Find(types));
        return writer;
    }

    /// <summary>Lists a GGUF file's metadata, as they are but for its type, and its tensors in a type.</summary>
    /// <param name="model">The file, which must stay open until all is written.</param>
    /// <param name="types">The types of its matrices, one of <see cref="TypeMix.All"/> by its name; vectors are float32.</param>
    public static GgufWriter Create(GgufModel model, string types)
    {
        GgufWriter writer = new();
        foreach (string key in model.Metadata.Keys)
        {
            if (key is not (FileTypeKey or GgufFile.AlignmentKey) && !key.StartsWith("split.", StringComparison.Ordinal))
                writer.Add(key, model.Metadata);
        }
        writer.Add(FileTypeKey, TypeMix.Find(types).FileType);
        AddTensors(writer, model.Weights, TypeMix.Find(types));
        return writer;
    }

    private static void AddTensors(GgufWriter writer, Weights weights, TypeMix types)
    {
        foreach ((string name, int layer, string nameInFile, Tensor tensor) in GgufModel.InOrder(weights))
        {
            GgmlType type = Weights.IsVector(name) ? GgmlType.F32 : types.TypeOf(weights, name, layer);
            writer.AddTensor(nameInFile, type, Weights.IsVector(name) ? [tensor.Columns] : [tensor.Columns, tensor.Rows],
                output => WriteRows(output, tensor, type));
        }
    }

    private static void AddTokenizer(GgufWriter writer, Tokenizer tokenizer)
    {
        int[] ids = [.. Enumerable.Range(0, tokenizer.VocabSize)];
        writer.Add("tokenizer.ggml.model", "llama");
        writer.Add("tokenizer.ggml.pre", "default");
        writer.Add("tokenizer.ggml.tokens", (byte[][])[.. ids.Select(id => Piece(tokenizer, id))]);
        writer.Add("tokenizer.ggml.scores", (float[])[.. ids.Select(tokenizer.Score)]);
        writer.Add("tokenizer.ggml.token_type", (int[])[.. ids.Select(id => (int)Type(tokenizer, id))]);
        writer.Add("tokenizer.ggml.bos_token_id", Tokenizer.BosId);
        writer.Add("tokenizer.ggml.eos_token_id", Tokenizer.EosId);
        writer.Add("tokenizer.ggml.unknown_token_id", Tokenizer.UnknownId);
        writer.Add("tokenizer.ggml.add_bos_token", true);
        writer.Add("tokenizer.ggml.add_eos_token", false);
    }

    // llama2.c's files have blanks where sentencepiece has U+2581, and lines around BOS and EOS.
    private static byte[] Piece(Tokenizer tokenizer, int id) => id switch
    {
        Tokenizer.BosId => "<s>"u8.ToArray(),
        Tokenizer.EosId => "</s>"u8.ToArray(),
        _ => [.. tokenizer.Piece(id).ToArray().SelectMany(b => b == ' ' ? "\u2581"u8.ToArray() : [b])],
    };

    private static PieceType Type(Tokenizer tokenizer, int id) => id switch
    {
        Tokenizer.UnknownId => PieceType.Unknown,
        Tokenizer.BosId or Tokenizer.EosId => PieceType.Control,
        _ => Tokenizer.ParseByte(tokenizer.Piece(id)) is null ? PieceType.Normal : PieceType.Byte,
    };

    // All threads make a chunk of rows, which is then written.
    private static void WriteRows(GgufOutput output, Tensor tensor, GgmlType type)
    {
        int columns = tensor.Columns, rowBytes = (int)type.RowBytes(columns);
        int most = Math.Clamp(ChunkElements / columns, 1, tensor.Rows);
        float[] floats = new float[most * columns];
        byte[] bytes = new byte[most * rowBytes];
        for (int first = 0, rows; first < tensor.Rows; first += rows)
        {
            rows = Math.Min(most, tensor.Rows - first);
            Parallel.For(first, first + rows, row =>
            {
                Span<float> from = floats.AsSpan((row - first) * columns, columns);
                tensor.CopyRow(row, from);
                BlockQuantizer.Quantize(type, from, bytes.AsSpan((row - first) * rowBytes, rowBytes));
            });
            output.Write(bytes.AsSpan(0, rows * rowBytes));
        }
    }
}
