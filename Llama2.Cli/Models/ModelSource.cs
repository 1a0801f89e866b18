using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Models;

/// <summary>Where a model or a tokenizer is read from: a file, or the program itself, which has one of each inside.</summary>
/// <param name="Path">The file's path; of what is inside the program its name, as messages show it.</param>
/// <param name="Resource">The name of the program's resource; null for a file.</param>
internal sealed record ModelSource(string Path, string? Resource = null)
{
    private const string ShippedFile = "tales659K.bin";

    /// <summary>The model that ships with the program, and its tokenizer.</summary>
    public static readonly ModelSource Shipped = Inside(ShippedFile), ShippedTokenizer = Inside("tok512-tales.bin");

    /// <summary>The name by which a model is asked for: its file's, without the ending.</summary>
    public string Name => System.IO.Path.GetFileNameWithoutExtension(Resource ?? Path);

    /// <summary>Whether this is the model that ships, wherever a copy of it lies.</summary>
    public bool IsDefault => System.IO.Path.GetFileName(Resource ?? Path) == ShippedFile;

    /// <summary>Opens a model of any format.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it holds no model that can be run.</exception>
    public ModelFile Open() => Map().GiveTo(file => ModelFile.Open(file, Path));

    /// <exception cref="ModelFileException">There is no such file, or it is empty or no plain file.</exception>
    public MappedFile Map()
    {
        if (Resource is not null)
            return MappedFile.Of((UnmanagedMemoryStream)typeof(ModelSource).Assembly.GetManifestResourceStream(Resource)!);
        Input.ThrowIfClosed(Path);
        return MappedFile.Open(Path);
    }

    private static ModelSource Inside(string resource) =>
        new($"{System.IO.Path.GetFileNameWithoutExtension(resource)} (inside the program)", resource);
}
