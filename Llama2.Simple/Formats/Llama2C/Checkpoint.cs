using Llama2.Simple.Tensors;

namespace Llama2.Simple.Formats.Llama2C;

/// <summary>A checkpoint of llama2.c, opened: its header was checked, its weights are views of the mapped file.</summary>
public sealed class Checkpoint : ModelFile
{
    private readonly MappedFile _file;
    private readonly Dictionary<string, Place> _tensors = [];

    private Checkpoint(MappedFile file, CheckpointHeader header, string path) : base(path)
    {
        (_file, Header) = (file, header);
        long offset = header.Bytes;
        foreach (TensorSpec spec in header.Tensors())
        {
            _tensors.Add(spec.Name, new Place(spec, offset));
            offset += spec.Count * spec.Bytes;
        }
        Weights = Weights.From(Config.LayerCount, header.SharedClassifier, Tensor);
    }

    public CheckpointHeader Header { get; }
    public override string Format => $"llama2.c v{Header.Version}";
    public override Config Config => Header.Config;
    public override Weights Weights { get; }
    public override long Length => _file.Length;

    /// <summary>Opens a checkpoint of any version, and no file of another format.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it is not a checkpoint.</exception>
    public static new Checkpoint Open(string path) => MappedFile.Open(path).GiveTo(file => Open(file, path));

    /// <summary>The same of a mapped file, which belongs to the checkpoint from now on.</summary>
    /// <exception cref="ModelFileException">It is not a checkpoint; it is still the caller's.</exception>
    public static new Checkpoint Open(MappedFile file, string path)
    {
        try
        {
            return new Checkpoint(file, CheckpointHeader.Parse(file.Start, file.Length, path), path);
        }
        catch (ModelFileException e)
        {
            throw FileKind.Explain(e, FileKind.Checkpoint, file);
        }
    }

    private sealed record Place(TensorSpec Spec, long Offset);

    private Tensor? Tensor(string name, int layer)
    {
        if (!_tensors.TryGetValue(name, out Place? place))
            return null; // a bias, or RoPE's factors
        (TensorSpec spec, long offset) = place;
        offset += layer * spec.Bytes;
        if (spec.IsFloat32)
            return new Float32Tensor(spec.Rows, spec.Columns, _file.Slice<float>(offset, (int)spec.Elements));
        return new Q8GroupsTensor(spec.Rows, spec.Columns, spec.GroupSize,
            _file.Slice<sbyte>(offset, (int)spec.Elements),
            _file.Slice<float>(offset + spec.Elements, (int)(spec.Elements / spec.GroupSize)));
    }

    /// <summary>
    /// The two tables of cosines and sines of a v0 file, each (seq_len, head_size / 2), which run.c skips and <see
    /// cref="CheckpointWriter"/> may copy; empty in other versions, or where they are longer than an array.
    /// </summary>
    public ReadOnlyMemory<float> RopeTables() =>
        _tensors.TryGetValue("rope_tables", out Place? place) && place.Spec.Count * place.Spec.Elements <= Array.MaxLength
            ? _file.Slice<float>(place.Offset, (int)(place.Spec.Count * place.Spec.Elements)) : default;

    public override void ThrowIfCut() => _file.ThrowIfCut(Path);
    public override void Dispose() => _file.Dispose();
}
