using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Cli.Models;

/// <summary>A model of any format as a file of llama2.c, with its tokenizer beside it.</summary>
internal sealed class CheckpointCopy
{
    private readonly ModelFile _model;
    private readonly CheckpointHeader _header;
    private readonly byte[]? _tokenizer;

    /// <param name="source">Where the model was read from.</param>
    /// <param name="model">The model.</param>
    /// <param name="version">0 and 1 are float32, 2 is int8.</param>
    /// <param name="groupSize">Weights that share a scale in version 2; null for the default.</param>
    /// <exception cref="ModelFileException">The model, or its tokenizer, has something that such a file cannot say.</exception>
    /// <exception cref="UsageException">The groups do not divide the model's matrices, or save nothing.</exception>
    public CheckpointCopy(ModelSource source, ModelFile model, int version, int? groupSize)
    {
        _model = model;
        int size = version < 2 ? 0 : groupSize ?? WeightQuantizer.GroupSizeFor(model.Config);
        _header = CheckpointLimits.HeaderFor(model, version: 1) with { Version = version, GroupSize = size };
        if (version == 2)
        {
            UsageException.ThrowIf(!Divides(_header, size),
                $"--group {size} does not divide the tensors (dim {model.Config.Dim}, hidden_dim {model.Config.HiddenDim})");
            RefuseUselessGroups(_header);
        }
        _tokenizer = model.Tokenizer is { } tokenizer ? CheckpointLimits.TokenizerBytes(tokenizer, model.Path)
            : ModelFiles.TokenizerBytes(source, model.Config.VocabSize);
    }

    /// <summary>Bytes of the file.</summary>
    public long Length => _header.FileLength;

    public void Write(Stream stream, IProgress<long> progress) => CheckpointWriter.Write(
        stream, _header, _model.Weights, _model is Checkpoint checkpoint ? checkpoint.RopeTables() : default, progress);

    /// <summary>Puts the model's tokenizer beside the copy, where it is found, unless the copy finds the same one anyway.</summary>
    /// <returns>Its path, or null.</returns>
    public string? WriteTokenizer(string path)
    {
        byte[]? found = ModelFiles.TokenizerBytes(new ModelSource(path), _model.Config.VocabSize);
        if (_tokenizer is null || found.AsSpan().SequenceEqual(_tokenizer))
            return null;
        string own = ModelFiles.OwnTokenizer(path);
        AtomicFile.Write(own, stream => stream.Write(_tokenizer));
        return own;
    }

    private static bool Divides(CheckpointHeader header, int size) =>
        size >= 1 && header.Tensors().All(tensor => tensor.IsFloat32 || tensor.Elements % size == 0);

    /// <summary>Refuses groups so small that their scales make the file larger than float32, and warns of those that save little.</summary>
    private static void RefuseUselessGroups(CheckpointHeader header)
    {
        long floats = (header with { Version = 1, GroupSize = 0 }).FileLength;
        if (header.FileLength <= floats * 5 / 8) // groups of 4 take half of float32, groups of 2 three quarters
            return;
        int better = Enumerable.Range(1, WeightQuantizer.MaxGroupSize).Last(size => Divides(header, size));
        long betterLength = (header with { GroupSize = better }).FileLength;
        string advice = better <= header.GroupSize ? "no group that divides the tensors does better; --type f32 keeps float32"
            : $"--group {better} makes it {betterLength:N0} (but llama2.c's runq needs a group that divides both)";
        string line = $"groups of {header.GroupSize} (dim {header.Config.Dim}, hidden_dim {header.Config.HiddenDim}) make the file "
            + $"{header.FileLength:N0} bytes, where float32 takes {floats:N0}; {advice}";
        UsageException.ThrowIf(header.FileLength >= floats, line);
        Notes.Write(line);
    }
}
