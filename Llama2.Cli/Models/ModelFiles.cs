using Llama2.Cli.Options;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Text;

namespace Llama2.Cli.Models;

/// <summary>Finds the checkpoint and the tokenizer that a command means.</summary>
internal static class ModelFiles
{
    private const string TokenizerName = "tokenizer.bin";

    /// <summary>The models that llama2.c's author publishes in this format.</summary>
    public static readonly string[] KnownModels = ["stories260K", "stories15M", "stories42M", "stories110M"];

    private static readonly string[] Endings = [".bin", ".gguf"]; // that a name leaves out

    /// <summary>The folders in which a name is looked up: weights/ in the working directory, then the user's own.</summary>
    public static string[] Folders => ["weights", ModelFolder.Path];

    /// <summary>
    /// The file of this name; else the model of this name in weights/, in the user's folder or inside the program, which has the one that
    /// is meant without a name.
    /// </summary>
    /// <exception cref="ModelFileException">There is none, and pull would have it.</exception>
    public static ModelSource FindCheckpoint(string? nameOrPath)
    {
        if (nameOrPath is null)
            return ModelSource.Shipped;
        if (Path.Exists(nameOrPath) || Path.GetFileName(nameOrPath) != nameOrPath)
            return new ModelSource(nameOrPath); // opening it says what is wrong
        if (FindByName(nameOrPath) is { } found)
            return found;
        return !KnownModels.Contains(nameOrPath) ? new ModelSource(nameOrPath)
            : throw new ModelFileException(nameOrPath, "model", $"a file in {string.Join(" or ", Folders)}",
                $"nothing there; `llama2 pull {nameOrPath}` downloads it");
    }

    /// <summary>The same for a command that takes nothing but models: one that is not there gets a guess.</summary>
    /// <exception cref="ModelFileException">There is none.</exception>
    public static ModelSource RequireCheckpoint(string? nameOrPath)
    {
        ModelSource source = FindCheckpoint(nameOrPath);
        if (source.Resource is null && !Path.Exists(source.Path) && DidYouMean.Guess(source.Path, KnownModels.Concat(Names())) is { } guess)
            throw new ModelFileException(source.Path, "file", "a file", $"nothing there; did you mean {guess}?");
        return source;
    }

    /// <summary>The model of this name, with its file's ending or without; null if there is none.</summary>
    public static ModelSource? FindByName(string name)
    {
        IEnumerable<string> places = Folders.SelectMany(folder => NamesOf(name).Select(file => Path.Combine(folder, file)));
        return places.FirstOrDefault(File.Exists) is { } found ? new ModelSource(found)
            : name == ModelSource.Shipped.Name ? ModelSource.Shipped : null;
    }

    /// <summary>The names of a file that a name means: its own, or one that ends as models do.</summary>
    public static IEnumerable<string> NamesOf(string name) => Endings.Prepend("").Select(ending => name + ending);

    /// <summary>The names of all models that are there.</summary>
    public static IEnumerable<string> Names() =>
        Folders.Where(Directory.Exists).SelectMany(Directory.GetFiles).Where(HasEnding).Select(NameOf).Append(ModelSource.Shipped.Name);

    /// <summary>Whether a file is named as models are.</summary>
    public static bool HasEnding(string path) => Endings.Contains(Path.GetExtension(path));

    /// <summary>The name of a model's file without its ending.</summary>
    public static string NameOf(string path) =>
        HasEnding(path) ? Path.GetFileNameWithoutExtension(path) : Path.GetFileName(path);

    /// <summary>The tokenizer named, else that of the checkpoint.</summary>
    /// <exception cref="ModelFileException">There is none, or it is of another size than the checkpoint's vocabulary.</exception>
    public static ITokenizer OpenTokenizer(string? path, ModelSource checkpoint, int vocabSize)
    {
        try
        {
            return ReadTokenizer(path is null ? FindTokenizer(checkpoint) : new ModelSource(path), vocabSize);
        }
        catch (ModelFileException e) when (path is null && e.Path != checkpoint.Path)
        {
            throw new ModelFileException(e.Path, e.Field, e.Expected, $"{e.Found}; -z FILE names another tokenizer", e);
        }
    }

    /// <summary>The tokenizer named, which may be the one in a GGUF file, else that of the model that ships; of any size.</summary>
    public static ITokenizer OpenTokenizer(string? path) =>
        ReadTokenizer(path is null ? ModelSource.ShippedTokenizer : new ModelSource(path), vocabSize: 0);

    /// <summary>The tokenizer of a file.</summary>
    /// <param name="source">The file.</param>
    /// <param name="vocabSize">Tokens that the model knows, or 0 to take what is there.</param>
    /// <exception cref="ModelFileException">There is none, or it is of another size.</exception>
    public static ITokenizer ReadTokenizer(ModelSource source, int vocabSize)
    {
        using MappedFile file = source.Map(); // once, since it may be a pipe
        if (!GgufFile.IsStartOf(file))
            return TokenizerFile.Open(file, source.Path, vocabSize);
        ITokenizer tokenizer = GgufTokenizer.Create(GgufFile.Open(file, source.Path).Metadata);
        return vocabSize == 0 || tokenizer.VocabSize == vocabSize ? tokenizer
            : throw new ModelFileException(source.Path, "vocabulary", $"the {vocabSize} tokens of the model", $"{tokenizer.VocabSize}");
    }

    /// <summary>The file of the tokenizer that a checkpoint finds, or null if it finds none that fits.</summary>
    public static byte[]? TokenizerBytes(ModelSource checkpoint, int vocabSize)
    {
        try
        {
            using MappedFile file = FindTokenizer(checkpoint).Map();
            TokenizerFile.Open(file, checkpoint.Path, vocabSize);
            return file.Slice<byte>(0, (int)file.Length).ToArray();
        }
        catch (ModelFileException)
        {
            return null;
        }
    }

    /// <summary>The name under which a checkpoint's own tokenizer lies beside it: model.tokenizer.bin for model.bin.</summary>
    public static string OwnTokenizer(string checkpoint) =>
        (checkpoint.EndsWith(".bin", StringComparison.Ordinal) ? checkpoint[..^4] : checkpoint) + "." + TokenizerName;

    /// <summary>
    /// The checkpoint's own tokenizer, else tokenizer.bin beside the checkpoint, in the working directory, in weights/ or in the user's
    /// folder; the model that ships and stories260K have other names for it. The model inside the program has the one beside it there.
    /// </summary>
    public static ModelSource FindTokenizer(ModelSource checkpoint)
    {
        if (checkpoint.Resource is not null)
            return ModelSource.ShippedTokenizer;
        string beside = Path.GetDirectoryName(checkpoint.Path) is { Length: > 0 } folder ? folder : ".";
        string[] names = Path.GetFileName(checkpoint.Path) switch
        {
            _ when checkpoint.IsDefault => [ModelSource.ShippedTokenizer.Resource!],
            "stories260K.bin" => ["tok512.bin", TokenizerName],
            _ => [TokenizerName],
        };
        string[] folders = [beside, "", .. Folders];
        IEnumerable<string> shared = names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name)));
        string[] places = [.. shared.Prepend(OwnTokenizer(checkpoint.Path)).DistinctBy(Path.GetFullPath)];
        return places.FirstOrDefault(File.Exists) is { } found ? new ModelSource(found)
            : checkpoint.IsDefault ? ModelSource.ShippedTokenizer
            : throw new ModelFileException(checkpoint.Path, "tokenizer", "a file that -z FILE names, or one beside the checkpoint",
                "nothing at " + string.Join(", ", places));
    }
}
