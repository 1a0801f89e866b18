using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Models;

/// <summary>The user's own folder of models: pull puts them there, and rm removes them.</summary>
internal static class ModelFolder
{
    public const string Variable = "LLAMA2_MODELS"; // names another folder

    /// <summary>
    /// The folder, which need not exist: $LLAMA2_MODELS, else llama2/models in the system's folder for a user's data: $XDG_DATA_HOME or
    /// ~/.local/share, on macOS ~/Library/Application Support, on Windows %LOCALAPPDATA%.
    /// </summary>
    public static string Path => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } folder ? folder
        : System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData,
            Environment.SpecialFolderOption.DoNotVerify), "llama2", "models");

    /// <summary>The files that go if models of these names are removed: theirs, and tokenizers that no other model there finds.</summary>
    /// <exception cref="UsageException">It is no name, but the path of a file somewhere.</exception>
    /// <exception cref="ModelFileException">There is nothing of that name in the folder.</exception>
    public static IReadOnlyList<string> FilesOf(IEnumerable<string> names)
    {
        string[] files = [.. names.Select(Find).Distinct()];
        ILookup<bool, string> models = ListedModel.In(Path).Where(model => model.Config is not null).Select(model => model.Source.Path)
            .ToLookup(files.Contains);
        string[] needed = [.. models[false].SelectMany(TokenizersOf)];
        IEnumerable<string> tokenizers = models[true].SelectMany(TokenizersOf).Except(needed);
        return [.. files.SelectMany(SplitModel.PartsOf).Concat(tokenizers).Distinct()];
    }

    private static string Find(string name)
    {
        UsageException.ThrowIf(System.IO.Path.GetFileName(name) != name || name is "." or "..",
            $"rm: {name}: expected a name; only what is in {Path} is removed");
        if (ModelFiles.NamesOf(name).Select(file => System.IO.Path.Combine(Path, file)).FirstOrDefault(IsFile) is { } path)
            return path;
        string? guess = DidYouMean.Guess(name, ListedModel.In(Path).Select(model => model.Name));
        throw new ModelFileException(name, "model", $"one in {Path}",
            ModelFiles.FindByName(name) is { } elsewhere ? $"{elsewhere.Path}, which stays"
            : guess is null ? "nothing there" : $"nothing there; did you mean {guess}?");
    }

    // also a link that leads nowhere, or to a folder
    private static bool IsFile(string path) => new FileInfo(path) is var file && (file.Exists || file.LinkTarget is not null);

    /// <summary>The tokenizers in the folder that a checkpoint finds. A GGUF file has its own inside.</summary>
    private static IEnumerable<string> TokenizersOf(string model)
    {
        if (!model.EndsWith(".bin", StringComparison.Ordinal))
            return [];
        try
        {
            ModelSource found = ModelFiles.FindTokenizer(new ModelSource(model));
            return System.IO.Path.GetDirectoryName(found.Path) == System.IO.Path.GetDirectoryName(model) ? [found.Path] : [];
        }
        catch (ModelFileException)
        {
            return [];
        }
    }
}
