using System.Globalization;
using System.Text.RegularExpressions;

namespace Llama2.Cli.Models;

/// <summary>The files of a model that is split: NAME-00001-of-00003.gguf and so on.</summary>
internal static partial class SplitModel
{
    /// <summary>Whether a file is a part after the first, which is opened with the first.</summary>
    public static bool IsLaterPart(string path) =>
        PartName().Match(path) is { Success: true } match && match.Groups["part"].Value != "00001";

    /// <summary>All parts that are there of a split model's first file; of another file, the file.</summary>
    public static IEnumerable<string> PartsOf(string path)
    {
        if (PartName().Match(path) is not { Success: true } match)
            return [path];
        string beginning = path[..match.Index], count = match.Groups["count"].Value;
        return Enumerable.Range(1, int.Parse(count, CultureInfo.InvariantCulture))
            .Select(part => string.Create(CultureInfo.InvariantCulture, $"{beginning}-{part:D5}-of-{count}.gguf")).Where(File.Exists);
    }

    [GeneratedRegex(@"-(?<part>[0-9]{5})-of-(?<count>[0-9]{5})\.gguf$", RegexOptions.CultureInvariant)]
    private static partial Regex PartName();
}
