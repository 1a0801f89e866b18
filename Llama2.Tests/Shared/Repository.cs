namespace Llama2.Tests.Shared;

/// <summary>Where the files are that tests read: the project's own, and those of the folder beside it where it is there.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    /// <summary>The default model and its tokenizer.</summary>
    public static string Weights(string file) => Path.Combine(Root, "weights", file);

    /// <summary>The default model's goldens, and its int8 and v1 exports.</summary>
    public static string Golden(string file = "") => Path.Combine(Root, "Llama2.Tests", "Golden", file);

    /// <summary>Models, tokenizers and goldens that are not part of the project.</summary>
    public static string Shared(params string[] path) => Path.Combine([Root, "..", "shared", .. path]);

    public static bool HasShared => Directory.Exists(Shared("weights")) && Directory.Exists(Shared("golden", "public"));

    public const string NoShared =
        "needs other people's models and their goldens, in ../shared/weights and ../shared/golden, beside the clone";

    public static void SkipWithoutShared() => Assert.SkipUnless(HasShared, NoShared);

    /// <summary>A checkpoint or tokenizer by its name, or null where it needs ../shared and that is not there.</summary>
    public static string? FindModel(string file) =>
        new[] { Weights(file), Golden(file), Shared("weights", file) }.FirstOrDefault(File.Exists);

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Llama2.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException($"no Llama2.sln above {AppContext.BaseDirectory}");
    }
}
