using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>
/// A model on disk while it is measured: a file of the user's, or one of random weights; and its int8 sibling. What had
/// to be made for it is gone when it is disposed.
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
            Given = Checkpoint.Open(shape is null ? path! : Make(shape.Name + ".bin", stream => shape.Write(stream, cancellation)));
            IsRandom = shape is not null;
            if (Given.Header.Version == 2)
                Int8 = Given;
            else
                (Float32, Int8) = (Given, Quantized(Given, cancellation));
        }
        catch (Exception e)
        {
            Dispose();
            cancellation.ThrowIfCancellationRequested(); // then the folder is gone, and that was the error
            throw e is IOException and not OutputException ? new IOException($"no temporary checkpoint for {name}: {e.Message}", e) : e;
        }
    }

    public string Name { get; }

    public bool IsRandom { get; }

    /// <summary>The file or the shape itself.</summary>
    public Checkpoint Given { get; private set; } = null!;

    /// <summary>The float32 weights, or null where the file is of int8.</summary>
    public Checkpoint? Float32 { get; private set; }

    public Checkpoint Int8 { get; private set; } = null!;

    public Config Config => Given.Config;

    /// <summary>Where scratch files may go.</summary>
    public string Folder => _folder.Folder;

    /// <summary>A tokenizer for this model, by path.</summary>
    /// <exception cref="TokenizerException">There is none.</exception>
    public string TokenizerPath() => _tokenizer
        ?? (IsRandom ? Make("tokenizer.bin", stream => Shape.WriteTokenizer(stream, Config.VocabSize)) : ModelFiles.FindTokenizer(Given.Path));

    private Checkpoint Quantized(Checkpoint source, CancellationToken cancellation)
    {
        int groupSize = 64; // as export.py, halved until it fits every row
        while (source.Config.Dim % groupSize != 0 || source.Config.HiddenDim % groupSize != 0)
            groupSize /= 2;
        CheckpointHeader header = new(2, source.Config, source.Header.SharedClassifier, groupSize);
        return Checkpoint.Open(Make("int8.bin", stream => CheckpointWriter.Write(stream, header, source.Weights, new Cancelling(cancellation))));
    }

    private string Make(string name, Action<Stream> write)
    {
        string path = _folder.Path(name);
        using FileStream stream = new(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 1 << 16);
        write(stream);
        return path;
    }

    public void Dispose()
    {
        Given?.Dispose();
        Int8?.Dispose();
        _folder.Dispose();
    }

    private sealed class Cancelling(CancellationToken cancellation) : IProgress<long>
    {
        public void Report(long value) => cancellation.ThrowIfCancellationRequested();
    }
}
