using Llama2.Cli.Commands;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>One kind of weights of a model.</summary>
/// <param name="Kind">float32 or int8.</param>
/// <param name="Header">The header of a checkpoint that holds them.</param>
/// <param name="Weights">The weights.</param>
internal sealed record WeightsUnderTest(string Kind, CheckpointHeader Header, Weights Weights);

/// <summary>
/// A model while it is measured: a file of the user's, or one of random weights, which is gone when this is disposed; as
/// it is and, where that is float32, also as int8.
/// </summary>
internal sealed class ModelUnderTest : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string? _tokenizer;

    /// <summary>Opens or makes a model.</summary>
    /// <param name="name">What tables call it.</param>
    /// <param name="path">The checkpoint, if there is a file.</param>
    /// <param name="shape">The shape to make, if there is none.</param>
    /// <param name="tokenizer">The tokenizer for peers, if the user named one.</param>
    /// <param name="cancellation">Stops it while it writes.</param>
    /// <exception cref="ModelFileException">The file is no checkpoint.</exception>
    /// <exception cref="IOException">There is no room for a temporary one.</exception>
    public ModelUnderTest(string name, string? path, Shape? shape, string? tokenizer, CancellationToken cancellation)
    {
        (Name, _tokenizer) = (name, tokenizer);
        try
        {
            Checkpoint = Checkpoint.Open(shape is null ? path! : Make(shape.Name + ".bin", stream => shape.Write(stream, cancellation)));
            CheckpointHeader header = Checkpoint.Header;
            IsRandom = shape is not null;
            if (header.Version == 2)
            {
                Weights = [new("int8", header, Checkpoint.Weights)];
                return;
            }
            int groupSize = QuantizeCommand.GroupSize(header.Config);
            Weights = [
                new("float32", header, Checkpoint.Weights),
                new("int8", header with { Version = 2, GroupSize = groupSize }, WeightQuantizer.Quantize(Checkpoint.Weights, groupSize))];
        }
        catch (Exception e)
        {
            Dispose();
            cancellation.ThrowIfCancellationRequested(); // then the folder is gone, and that was the error
            if (e is IOException && shape is not null)
                throw new IOException($"no temporary checkpoint for {name}: {e.Message}", e);
            throw;
        }
    }

    public string Name { get; }

    /// <summary>The file.</summary>
    public Checkpoint Checkpoint { get; } = null!;

    /// <summary>The weights as they are in the file, then as int8 if that is something else.</summary>
    public IReadOnlyList<WeightsUnderTest> Weights { get; } = [];

    private bool IsRandom { get; }

    public Config Config => Checkpoint.Config;

    /// <summary>Where scratch files may go.</summary>
    public string Folder => _folder.Folder;

    /// <summary>A tokenizer for this model, by path.</summary>
    /// <exception cref="TokenizerException">There is none.</exception>
    public string TokenizerPath() => _tokenizer
        ?? (IsRandom ? Make("tokenizer.bin", stream => Shape.WriteTokenizer(stream, Config.VocabSize)) : ModelFiles.FindTokenizer(Checkpoint.Path));

    private string Make(string name, Action<Stream> write)
    {
        string path = _folder.Path(name);
        using FileStream stream = new(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1 << 16);
        write(stream);
        return path;
    }

    public void Dispose()
    {
        Checkpoint?.Dispose();
        _folder.Dispose();
    }
}
