namespace Llama2.Tests.Golden;

/// <summary>The tables of gguf.md, which tests compare with what they find.</summary>
internal static class GgufTable
{
    public const string Distances = "## How far", Hashes = "## Which bits"; // the headings begin so

    private static readonly string[] Lines = File.ReadAllLines(Repository.Golden("gguf.md"));

    private static string[] Rows(string heading) => [.. Lines.SkipWhile(line => !line.StartsWith(heading, StringComparison.Ordinal)).Skip(1)
        .TakeWhile(line => !line.StartsWith("## ", StringComparison.Ordinal)).Where(line => line.StartsWith("| ", StringComparison.Ordinal))
        .Skip(1)]; // the head

    /// <summary>The table has this row.</summary>
    public static void AssertHas(string heading, params string[] cells) =>
        Assert.Contains($"| {string.Join(" | ", cells)} |", Rows(heading));

    /// <summary>The table has rows of these names, and of no others; without the files nobody can know.</summary>
    public static void AssertNames(string heading, TheoryData<string> names, params string[] others)
    {
        Assert.SkipUnless(Directory.Exists(Repository.Shared("formats", "golden")), GgufGolden.NoFormats);
        Assert.Equal([.. names.Select(row => row.Data), .. others], Rows(heading).Select(row => row.Split('|')[1].Trim()));
    }
}
