using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Text;

namespace Llama2.Cli.Models;

/// <summary>Finds the checkpoint and the tokenizer that a command means.</summary>
internal static class ModelFiles
{
    private const string DefaultModel = "tales659K", DefaultTokenizer = "tok512-tales.bin", TokenizerName = "tokenizer.bin";

    /// <summary>The models that llama2.c's author publishes in this format.</summary>
    public static readonly string[] KnownModels = ["stories260K", "stories15M", "stories42M", "stories110M"];

    private static readonly string Shipped = Path.Combine(AppContext.BaseDirectory, "weights");
    private static readonly string[] WeightsFolders = ["weights", Shipped]; // the working directory's first

    /// <summary>The model that ships with the program.</summary>
    public static string DefaultCheckpoint => Path.Combine(Shipped, DefaultModel + ".bin");

    /// <summary>Whether this is the model that ships, wherever the copy lies.</summary>
    public static bool IsDefault(string checkpoint) => Path.GetFileName(checkpoint) == DefaultModel + ".bin";

    /// <summary>The file of this name, or the model of this name in a folder weights/; without a name the model that ships.</summary>
    /// <exception cref="ModelFileException">There is neither.</exception>
    public static string FindCheckpoint(string? nameOrPath)
    {
        if (nameOrPath is null)
            return DefaultCheckpoint;
        if (Path.Exists(nameOrPath))
            return nameOrPath;
        if (Path.GetFileName(nameOrPath) == nameOrPath && !Path.HasExtension(nameOrPath))
        {
            string[] endings = [".bin", ".gguf"];
            string[] places = [.. endings.SelectMany(ending => WeightsFolders.Select(folder => Path.Combine(folder, nameOrPath + ending)))];
            if (places.FirstOrDefault(File.Exists) is { } found)
                return found;
            if (KnownModels.Contains(nameOrPath))
                throw new ModelFileException(places[0], "file", "a file", $"nothing there; `llama2 pull {nameOrPath}` downloads it");
        }
        return nameOrPath; // opening it says what is wrong
    }

    /// <summary>The tokenizer named, else that of the checkpoint.</summary>
    /// <exception cref="ModelFileException">There is none, or it is of another size than the checkpoint's vocabulary.</exception>
    public static ITokenizer OpenTokenizer(string? path, string checkpoint, int vocabSize)
    {
        try
        {
            return ReadTokenizer(path ?? FindTokenizer(checkpoint), vocabSize);
        }
        catch (ModelFileException e) when (path is null && e.Path != checkpoint)
        {
            throw new ModelFileException(e.Path, e.Field, e.Expected, $"{e.Found}; -z FILE names another tokenizer", e);
        }
    }

    /// <summary>The tokenizer named, which may be the one in a GGUF file, else that of the model that ships; of any size.</summary>
    public static ITokenizer OpenTokenizer(string? path) =>
        ReadTokenizer(path ?? Path.Combine(Shipped, DefaultTokenizer), vocabSize: 0);

    // The file is opened once, since it may be a pipe.
    private static ITokenizer ReadTokenizer(string path, int vocabSize)
    {
        using MappedFile file = MappedFile.Open(path);
        if (!GgufFile.IsStartOf(file))
            return TokenizerFile.Open(file, path, vocabSize);
        ITokenizer tokenizer = GgufTokenizer.Create(GgufFile.Open(file, path).Metadata);
        return vocabSize == 0 || tokenizer.VocabSize == vocabSize ? tokenizer
            : throw new ModelFileException(path, "vocabulary", $"the {vocabSize} tokens of the model", $"{tokenizer.VocabSize}");
    }

    /// <summary>The file of the tokenizer that a checkpoint finds, or null if it finds none that fits.</summary>
    public static byte[]? TokenizerBytes(string checkpoint, int vocabSize)
    {
        try
        {
            byte[] bytes = File.ReadAllBytes(FindTokenizer(checkpoint));
            TokenizerFile.Parse(bytes, checkpoint, vocabSize);
            return bytes;
        }
        catch (Exception e) when (e is ModelFileException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The name under which a checkpoint's own tokenizer lies beside it: model.tokenizer.bin for model.bin.</summary>
    public static string OwnTokenizer(string checkpoint) =>
        (checkpoint.EndsWith(".bin", StringComparison.Ordinal) ? checkpoint[..^4] : checkpoint) + "." + TokenizerName;

    /// <summary>
    /// The checkpoint's own tokenizer, else tokenizer.bin beside the checkpoint, in the working directory or in weights/; the model that
    /// ships and stories260K have other names for it.
    /// </summary>
    public static string FindTokenizer(string checkpoint)
    {
        string beside = Path.GetDirectoryName(checkpoint) is { Length: > 0 } folder ? folder : ".";
        string[] names = Path.GetFileName(checkpoint) switch
        {
            DefaultModel + ".bin" => [DefaultTokenizer],
            "stories260K.bin" => ["tok512.bin", TokenizerName],
            _ => [TokenizerName],
        };
        string[] folders = [beside, "", .. WeightsFolders];
        IEnumerable<string> shared = names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name)));
        string[] places = [.. shared.Prepend(OwnTokenizer(checkpoint)).DistinctBy(Path.GetFullPath)];
        return places.FirstOrDefault(File.Exists)
            ?? throw new ModelFileException(checkpoint, "tokenizer", "a file that -z FILE names, or one beside the checkpoint",
                "nothing at " + string.Join(", ", places));
    }
}
