using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Simple.Formats;

/// <summary>A model's file, opened: its contents were checked, its weights are views of the mapped file.</summary>
public abstract class ModelFile(string path) : IDisposable
{
    /// <summary>
    /// Opens a file of any format, which its first bytes tell and not its name. Every field is checked before its value sizes an
    /// allocation.
    /// </summary>
    /// <exception cref="ModelFileException">There is no such file, or it holds no model that can be run.</exception>
    public static ModelFile Open(string path) => MappedFile.Open(path).GiveTo(file => Open(file, path));

    /// <summary>The same of a mapped file, which belongs to the model from now on.</summary>
    /// <param name="path">Its name in messages; the other parts of a split GGUF file lie beside it.</param>
    /// <exception cref="ModelFileException">It holds no model that can be run; it is still the caller's.</exception>
    public static ModelFile Open(MappedFile file, string path)
    {
        if (GgufFile.IsStartOf(file))
            return GgufModel.Open(file, path);
        try
        {
            return Checkpoint.Open(file, path); // a v0 file has no magic number; its error says what else the file is
        }
        catch (ModelFileException e) when (e.Expected == FileKind.Checkpoint) // found is neither this nor GGUF
        {
            throw new ModelFileException(e.Path, e.Field, $"{FileKind.Checkpoint} or {FileKind.Gguf}", e.Found, e);
        }
    }

    public string Path { get; } = path;              // as it was given
    public abstract string Format { get; }           // in words: llama2.c v0, GGUF v3
    public abstract Config Config { get; }
    public abstract Weights Weights { get; }         // good until Dispose
    public abstract long Length { get; }             // bytes of the file, or of all files of a split model
    public virtual ITokenizer? Tokenizer => null;    // the one in the file, if it holds one
    public virtual string? ChatTemplate => null;     // the text in the file, if it holds one

    /// <summary>Refuses a file that another program has shortened since.</summary>
    /// <exception cref="ModelFileException">It is shorter than it was when it was opened.</exception>
    public abstract void ThrowIfCut();

    /// <summary>Closes the file; weights that nobody has pinned throw from now on.</summary>
    public abstract void Dispose();
}
