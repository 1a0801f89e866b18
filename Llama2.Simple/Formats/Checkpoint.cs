namespace Llama2.Simple.Formats;

/// <summary>A checkpoint of llama2.c, opened: its header was checked, its weights are views of the mapped file.</summary>
public sealed class Checkpoint : IDisposable
{
    private readonly MappedFile _file;
    private readonly Dictionary<string, Place> _tensors = [];

    private Checkpoint(MappedFile file, CheckpointHeader header, string path)
    {
        (_file, Header, Path) = (file, header, path);
        long offset = header.Bytes;
        foreach (TensorSpec spec in header.Tensors())
        {
            _tensors.Add(spec.Name, new Place(spec, offset));
            offset += spec.Count * spec.Bytes;
        }
        Weights = ReadWeights();
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The header as it stands in the file.</summary>
    public CheckpointHeader Header { get; }

    /// <summary>The model's hyperparameters.</summary>
    public Config Config => Header.Config;

    /// <summary>The weights; good until <see cref="Dispose"/>.</summary>
    public Weights Weights { get; }

    /// <summary>Bytes of the file, all of which is mapped.</summary>
    public long Length => _file.Length;

    /// <summary>Opens a checkpoint of any version; nothing is copied or allocated by a field that was not checked.</summary>
    /// <exception cref="CheckpointException">There is no such file, or it is not a checkpoint.</exception>
    public static Checkpoint Open(string path)
    {
        MappedFile file = MappedFile.Open(path, (expected, found, inner) => new CheckpointException(path, "file", expected, found, inner));
        try
        {
            ReadOnlyMemory<byte> start = file.Slice<byte>(0, (int)Math.Min(file.Length, 256));
            return new Checkpoint(file, CheckpointHeader.Parse(start.Span, file.Length, path), path);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Tensors of one name and where in the file the first of them begins.</summary>
    private sealed record Place(TensorSpec Spec, long Offset);

    private Weights ReadWeights()
    {
        Tensor embedding = Matrix("token_embedding_table");
        LayerWeights[] layers = new LayerWeights[Config.LayerCount];
        for (int l = 0; l < layers.Length; l++)
        {
            layers[l] = new LayerWeights
            {
                RmsAtt = Vector("rms_att_weight", l),
                Wq = Matrix("wq", l),
                Wk = Matrix("wk", l),
                Wv = Matrix("wv", l),
                Wo = Matrix("wo", l),
                RmsFfn = Vector("rms_ffn_weight", l),
                W1 = Matrix("w1", l),
                W2 = Matrix("w2", l),
                W3 = Matrix("w3", l),
            };
        }
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = layers,
            RmsFinal = Vector("rms_final_weight"),
            Classifier = Header.SharedClassifier ? embedding : Matrix("wcls"),
            RopeTables = Header.Version == 0 ? RopeTables() : default,
        };
    }

    private ReadOnlyMemory<float> Vector(string name, int layer = 0)
    {
        (TensorSpec spec, long offset) = _tensors[name];
        return _file.Slice<float>(offset + layer * spec.Bytes, (int)spec.Elements);
    }

    private Tensor Matrix(string name, int layer = 0)
    {
        (TensorSpec spec, long offset) = _tensors[name];
        if (spec.GroupSize == 0)
            return new FloatTensor(spec.Rows, spec.Columns, Vector(name, layer));
        offset += layer * spec.Bytes;
        return new Q8Tensor(spec.Rows, spec.Columns, spec.GroupSize,
            _file.Slice<sbyte>(offset, (int)spec.Elements),
            _file.Slice<float>(offset + spec.Elements, (int)(spec.Elements / spec.GroupSize)));
    }

    private ReadOnlyMemory<float> RopeTables()
    {
        (TensorSpec spec, long offset) = _tensors["rope_tables"];
        return spec.Count * spec.Elements <= Array.MaxLength ? _file.Slice<float>(offset, (int)(spec.Count * spec.Elements)) : default;
    }

    /// <summary>Closes the file; the weights are gone for whoever has not pinned them.</summary>
    public void Dispose() => _file.Dispose();
}
