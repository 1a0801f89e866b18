using System.Text.RegularExpressions;
using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>A model of the Llama family in a GGUF file, or in several where it is split.</summary>
public sealed partial class GgufModel : ModelFile
{
    private const int MaxParts = 1 << 12;

    // run.c's names of one tensor for all layers, and of one for each, in the order in which they are written
    private static readonly (string Name, string InFile)[] Global =
    [
        ("token_embedding_table", "token_embd.weight"), ("rms_final_weight", "output_norm.weight"), ("rope_factors", "rope_freqs.weight"),
        ("wcls", "output.weight"),
    ];

    private static readonly (string Name, string InFile)[] Layer =
    [
        ("rms_att_weight", "attn_norm.weight"), ("wq", "attn_q.weight"), ("wk", "attn_k.weight"), ("wv", "attn_v.weight"),
        ("wo", "attn_output.weight"), ("rms_ffn_weight", "ffn_norm.weight"), ("w1", "ffn_gate.weight"), ("w3", "ffn_up.weight"),
        ("w2", "ffn_down.weight"), ("bq", "attn_q.bias"), ("bk", "attn_k.bias"), ("bv", "attn_v.bias"), ("bo", "attn_output.bias"),
        ("b1", "ffn_gate.bias"), ("b2", "ffn_down.bias"), ("b3", "ffn_up.bias"),
    ];

    private readonly List<GgufFile> _parts = [];
    private readonly Dictionary<string, GgufTensor> _tensors = [];

    private GgufModel(GgufFile first, string path) : base(path)
    {
        try
        {
            AddParts(first);
            Tensors = [.. _parts.SelectMany(part => part.Tensors)];
            foreach (GgufTensor tensor in Tensors)
            {
                if (!_tensors.TryAdd(tensor.Name, tensor))
                    throw Error(tensor.Name, "a tensor that occurs once", "it in several parts");
            }
            string embedding = Global[0].InFile;
            Config = GgufConfig.Read(Metadata, _tensors.GetValueOrDefault(embedding)?.Dimensions.ElementAtOrDefault(1) ?? 0);
            HashSet<string> known = [];
            Weights = Weights.From(Config.LayerCount, !_tensors.ContainsKey("output.weight"), (name, layer) => Create(name, layer, known));
            if (_tensors.Keys.FirstOrDefault(name => !known.Contains(name)) is { } unknown)
                throw Error(unknown, "only tensors that a model of the Llama family has", "this one");
        }
        catch
        {
            _parts.Skip(1).ToList().ForEach(part => part.Dispose()); // the first is the caller's
            throw;
        }
    }

    /// <summary>The metadata, which the first part of a split model has.</summary>
    public GgufMetadata Metadata => _parts[0].Metadata;
    public IReadOnlyList<GgufFile> Parts => _parts;
    public IReadOnlyList<GgufTensor> Tensors { get; }
    public override string Format => $"GGUF v{_parts[0].Version}";
    public override Config Config { get; }
    public override Weights Weights { get; }
    public override long Length => _parts.Sum(part => part.Length);
    /// <exception cref="ModelFileException">The file's tokenizer is of an unknown kind, or wrong.</exception>
    public override ITokenizer? Tokenizer =>
        Metadata.GetString("tokenizer.ggml.model") is null or "none" or "no_vocab" ? null : field ??= GgufTokenizer.Create(Metadata);

    /// <summary>The sliding window, which the context is no longer than; null where the model has none that is shorter.</summary>
    public int? SlidingWindow => GgufConfig.Window(Metadata);

    public override string? ChatTemplate => Metadata.GetString("tokenizer.chat_template");

    internal static new GgufModel Open(MappedFile file, string path) => new(GgufFile.Open(file, path), path);

    public override void ThrowIfCut() => _parts.ForEach(part => part.ThrowIfCut());
    public override void Dispose() => _parts.ForEach(part => part.Dispose());

    [GeneratedRegex(@"-(\d{5})-of-(\d{5})(\.gguf)$", RegexOptions.CultureInvariant)]
    private static partial Regex PartName();

    private void AddParts(GgufFile first)
    {
        const string Count = "split.count", Number = "split.no", TensorCount = "split.tensors.count";
        _parts.Add(first);
        int count = first.Metadata.GetInteger(Count, 0, MaxParts) ?? 0, number = first.Metadata.GetInteger(Number, 0, MaxParts) ?? 0;
        if (count <= 1)
            return;
        Match name = PartName().Match(Path);
        if (!name.Success || name.Groups[2].Value != $"{count:D5}")
            throw Error("file", $"a name that ends in -00001-of-{count:D5}.gguf, of the first of {count} parts", "another name");
        if (number != 0)
            throw Error(Number, $"0, the first part: {PartPath(0)}", $"{number}");
        long? total = first.Metadata.GetInteger(TensorCount);
        for (int i = 1; i < count; i++)
        {
            string path = PartPath(i);
            if (!System.IO.Path.Exists(path))
                throw Error("file", $"all of the {count} parts that it is split into", $"no {path}");
            GgufFile part = GgufFile.Open(path);
            _parts.Add(part);
            if (part.Metadata.GetInteger(Count) != count)
                throw part.Metadata.Error(Count, $"{count}, as in the first part", $"{part.Metadata.GetInteger(Count)}");
            if (part.Metadata.GetInteger(Number) != i)
                throw part.Metadata.Error(Number, $"{i}", $"{part.Metadata.GetInteger(Number)}");
            if (part.Metadata.GetInteger(TensorCount) is { } other && other != total)
                throw part.Metadata.Error(TensorCount, $"{total}, as in the first part", $"{other}");
        }
        long tensors = _parts.Sum(part => (long)part.Tensors.Count);
        if (total is not null && total != tensors)
            throw Error(TensorCount, $"the {tensors} tensors of all parts", $"{total}");

        string PartPath(int i) => $"{Path[..name.Index]}-{i + 1:D5}-of-{count:D5}{name.Groups[3].Value}";
    }

    /// <summary>The tensors of a model in the order in which they are written, with run.c's names and those in a file.</summary>
    internal static IEnumerable<(string Name, int Layer, string InFile, Tensor Tensor)> InOrder(Weights weights)
    {
        string[] inLayer = [.. Layer.Select(layer => layer.Name)];
        return from named in weights.Named()
               let layer = named.Layer ?? (named.Name == Global[0].Name ? -1 : weights.Layers.Count)
               orderby layer, Array.IndexOf(inLayer, named.Name), Array.FindIndex(Global, global => global.Name == named.Name)
               select (named.Name, named.Layer ?? 0, NameInFile(named.Name, layer), named.Tensor);
    }

    // The name in GGUF files of the tensor with run.c's name.
    private static string NameInFile(string name, int layer) =>
        Array.Find(Global, global => global.Name == name).InFile ?? $"blk.{layer}.{Array.Find(Layer, each => each.Name == name).InFile}";

    // The tensor of run.c's name, or null of one that models may lack and this one does.
    private Tensor? Create(string name, int layer, HashSet<string> known)
    {
        string inFile = NameInFile(name, layer);
        (int rows, int columns) = ShapeOf(name);
        if (!_tensors.TryGetValue(inFile, out GgufTensor? tensor))
        {
            return name is ['b', _] or "rope_factors" ? null
                : throw Error(inFile, $"a tensor of {columns}{(rows > 1 ? $" x {rows}" : "")}", "none");
        }
        known.Add(inFile);
        long[] dimensions = Weights.IsVector(name) ? [columns] : [columns, rows];
        if (!tensor.Dimensions.SequenceEqual(dimensions))
            throw Error(inFile, $"a tensor of {string.Join(" x ", dimensions)}", tensor.Shape);
        if (!tensor.Type.IsReadable)
            throw Error($"{inFile}: type", $"one of {TensorTypeException.Readable}; requantise the model", tensor.Type.Name);
        Tensor created = GgmlTensor.Create(tensor.Type, rows, columns, tensor.File, tensor.Offset);
        if (!Weights.IsVector(name))
            return created;
        Float32Tensor vector = created as Float32Tensor ?? Dequantised(created);
        if (name == "rope_factors")
            CheckFactors(inFile, vector.Data.Span);
        return vector;
    }

    private (int Rows, int Columns) ShapeOf(string name) => name switch
    {
        "token_embedding_table" or "wcls" => (Config.VocabSize, Config.Dim),
        "wq" => (Config.QDim, Config.Dim),
        "wk" or "wv" => (Config.KvDim, Config.Dim),
        "wo" => (Config.Dim, Config.QDim),
        "w1" or "w3" => (Config.HiddenDim, Config.Dim),
        "w2" => (Config.Dim, Config.HiddenDim),
        "bq" => (1, Config.QDim),
        "bk" or "bv" => (1, Config.KvDim),
        "b1" or "b3" => (1, Config.HiddenDim),
        "rope_factors" => (1, Config.RopeDim / 2),
        _ => (1, Config.Dim), // norms, bo and b2
    };

    // A vector of another type; copied, as there are few.
    private static Float32Tensor Dequantised(Tensor vector)
    {
        float[] floats = new float[vector.Columns];
        vector.CopyRow(0, floats);
        return Float32Tensor.Vector(floats);
    }

    private void CheckFactors(string field, ReadOnlySpan<float> factors)
    {
        foreach (float factor in factors)
        {
            if (!(factor >= 1 && float.IsFinite(factor)))
                throw Error(field, "divisors of at least 1", $"{factor:G9}");
        }
    }

    private ModelFileException Error(string field, string expected, string found) => new(Path, field, expected, found);
}
