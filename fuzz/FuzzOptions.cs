using System.Globalization;
using System.Text.RegularExpressions;

namespace Llama2.Fuzz;

/// <summary>What to fuzz, for how long, and where the files are.</summary>
internal sealed record FuzzOptions(Target Target)
{
    public TimeSpan Time { get; init; } = TimeSpan.FromDays(365);
    public long Executions { get; init; } = long.MaxValue;
    public int RandomSeed { get; init; } = Environment.TickCount;
    public string Root { get; init; } = FuzzFolder;
    public string Findings { get; init; } = Path.Combine(FuzzFolder, "findings"); // with a folder for each target

    public string SeedFolder => Path.Combine(Root, "corpus", Target.Name); // read, never written
    public string FindingsFolder => Path.Combine(Findings, Target.Name);
    public string CorpusFolder => Path.Combine(FindingsFolder, "corpus"); // which grows

    /// <summary>What random mutations would not find, such as magic numbers: afl-fuzz's dictionary of the target.</summary>
    public byte[][] Words => Path.Combine(Root, "words", Target.Name + ".dict") is var path && File.Exists(path)
        ? [.. File.ReadLines(path).Select(line => Encoding.Latin1.GetBytes(Regex.Unescape(line.Trim()[1..^1])))]
        : [];

    /// <returns>Null if they are not understood.</returns>
    public static FuzzOptions? Parse(Target target, ReadOnlySpan<string> args)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        FuzzOptions? options = new(target);
        for (; args is [string name, string value, ..] && options is not null; args = args[2..])
        {
            options = name switch
            {
                "--seconds" when int.TryParse(value, culture, out int n) => options with { Time = TimeSpan.FromSeconds(n) },
                "--executions" when long.TryParse(value, culture, out long n) => options with { Executions = n },
                "--seed" when int.TryParse(value, culture, out int n) => options with { RandomSeed = n },
                "--findings" => options with { Findings = Path.GetFullPath(value) },
                _ => null,
            };
        }
        return args.IsEmpty ? options : null;
    }

    /// <summary>The inputs in those of the folders that exist, in an order that is the same everywhere.</summary>
    public static IEnumerable<string> Inputs(params IEnumerable<string> folders) => folders.Where(Directory.Exists)
        .SelectMany(folder => Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal));

    // fuzz/ of the project that this program was built in, or the present folder
    private static readonly string FuzzFolder = FindRoot(new DirectoryInfo(AppContext.BaseDirectory));

    private static string FindRoot(DirectoryInfo? above) => above is null ? Directory.GetCurrentDirectory()
        : Directory.Exists(Path.Combine(above.FullName, "fuzz", "corpus")) ? Path.Combine(above.FullName, "fuzz")
        : FindRoot(above.Parent);
}
