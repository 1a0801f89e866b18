using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

/// <summary>The README's table was made by `llama2 bench --readme`, in the form that it has today.</summary>
public sealed partial class ReadMeTableTests
{
    private static readonly string ReadMe = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");

    private static readonly string Section = WholeSection().Match(ReadMe) is { Success: true } match ? match.Value : throw new InvalidDataException("the README has no table");

    private static string[][] Table => [.. Section.Split('\n').Where(line => line.StartsWith('|')).Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))];

    [Fact]
    public void It_was_made_by_this_schema() => Assert.StartsWith($"{ReadmeTable.Begin} schema={BenchReport.CurrentSchema} -->\n", Section, StringComparison.Ordinal);

    [Fact]
    public void It_has_the_columns_of_the_Go_original()
    {
        Assert.Equal(["system", "model", "llama2.c", .. ReadmeTable.OwnColumns], Table[0]);
        Assert.Contains(Table[2..], row => row[1].StartsWith("stories110M", StringComparison.Ordinal));
        Assert.All(Table, row => Assert.Equal(Table[0].Length, row.Length));
    }

    [Fact]
    public void Its_ratios_are_those_of_its_numbers()
    {
        foreach (string[] row in Table[2..])
        {
            double reference = Number(row[2]);
            foreach (string cell in row[3..6])
            {
                Match match = RateAndRatio().Match(cell);
                Assert.True(match.Success, cell);
                double ratio = Number(match.Groups["ratio"].Value);
                Assert.InRange(Number(match.Groups["rate"].Value) / reference, ratio * 0.95 - 0.006, ratio * 1.05 + 0.006); // as far as rounding goes
            }
            Assert.True(Number(row[6]) > Number(row[2]), "prefill is faster than llama2.c, which has none");
        }
    }

    [Fact]
    public void Its_command_is_one()
    {
        string line = Command().Match(Section).Groups[1].Value;
        string[] args = [.. Word().Matches(line).Cast<Match>().Select(word => word.Value.Trim('\''))];
        ParseResult result = Program.Parse(args);
        Assert.Empty(result.Errors);
        Assert.Equal("bench", result.CommandResult.Command.Name);
        Assert.Contains("--readme", args);
    }

    [Fact]
    public void Its_chart_is_there() => Assert.True(File.Exists(Path.Combine(Repository.Root, Chart().Match(Section).Groups[1].Value)));

    private static double Number(string text) => double.Parse(text, NumberStyles.AllowThousands | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture);

    [GeneratedRegex(ReadmeTable.Begin + ".*?" + ReadmeTable.End, RegexOptions.Singleline)]
    private static partial Regex WholeSection();

    [GeneratedRegex(@"^(?<rate>[0-9.,]+) \((?<ratio>[0-9.,]+)\)$")]
    private static partial Regex RateAndRatio();

    [GeneratedRegex("^llama2 (.*)$", RegexOptions.Multiline)]
    private static partial Regex Command();

    [GeneratedRegex("'[^']*'|\\S+")]
    private static partial Regex Word();

    [GeneratedRegex(@"!\[[^\]]*\]\(([^)]+)\)")]
    private static partial Regex Chart();
}
