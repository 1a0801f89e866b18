namespace Llama2.Fuzz.Engine;

/// <summary>What to fuzz, for how long, and where the files are.</summary>
internal sealed record FuzzOptions(Target Target)
{
    /// <summary>Bytes of the longest input.</summary>
    public const int MaxLength = 4096;

    public TimeSpan Time { get; init; } = TimeSpan.FromDays(365);

    public long Executions { get; init; } = long.MaxValue;

    public int RandomSeed { get; init; } = Environment.TickCount;

    /// <summary>The committed inputs: read, never written.</summary>
    public string SeedFolder => Path.Combine(Root, "corpus", Target.Name);

    /// <summary>The growing corpus.</summary>
    public string CorpusFolder { get => field ?? Path.Combine(FindingsFolder, "corpus"); init; }

    public string FindingsFolder { get => field ?? Path.Combine(Root, "findings", Target.Name); init; }

    public string RecorderPath => Path.Combine(FindingsFolder, ".flight-recorder");

    /// <summary>The folder fuzz/ of the project this program was built in; the present folder if it was carried elsewhere.</summary>
    public static string Root { get; } = FindRoot();

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "fuzz");
            if (Directory.Exists(Path.Combine(candidate, "corpus")))
                return candidate;
        }
        return Directory.GetCurrentDirectory();
    }
}
