using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

/// <summary>The README's table was made by `llama2 bench --readme`, in the form that it has today.</summary>
public sealed class ReadMeTableTests
{
    private static readonly string Section = Regex.Match(
        File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n"),
        ReadmeTable.Begin + ".*?" + ReadmeTable.End, RegexOptions.Singleline).Value;

    private static string[][] Table => [.. Section.Split('\n').Where(line => line.StartsWith('|'))
        .Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))];

    [Fact]
    public void It_has_the_columns_of_the_Go_original()
    {
        Assert.Equal(["system", "model", "llama2.c", "llama.cpp", .. ReadmeTable.OwnColumns], Table[0]);
        Assert.Contains(Table[2..], row => row[1].StartsWith("stories110M"));
        Assert.All(Table, row => Assert.Equal(Table[0].Length, row.Length));
    }

    [Fact]
    public void Its_ratios_are_those_of_its_numbers()
    {
        foreach (string[] row in Table[2..])
        {
            double reference = Number(row[2]);
            foreach (string cell in row[4..7])
            {
                Match match = Regex.Match(cell, @"^([0-9.,]+) \(([0-9.,]+)\)$");
                Assert.True(match.Success, cell);
                double ratio = Number(match.Groups[2].Value);
                double margin = ratio * 0.05 + 0.006; // of rounding
                Assert.InRange(Number(match.Groups[1].Value) / reference, ratio - margin, ratio + margin);
            }
            Assert.True(Number(row[7]) > Number(row[2]), "prefill is faster than llama2.c, which has none");
        }
    }

    [Fact]
    public void Its_command_is_one()
    {
        string line = Regex.Match(Section, "^llama2 (.*)$", RegexOptions.Multiline).Groups[1].Value;
        string[] args = [.. Regex.Matches(line, "'[^']*'|\\S+").Select(word => word.Value.Trim('\''))];
        ParseResult result = Program.Parse(args);
        Assert.Empty(result.Errors);
        Assert.Equal("bench", result.CommandResult.Command.Name);
        Assert.Contains("--readme", args);
    }

    [Fact]
    public void Its_chart_is_there() =>
        Assert.True(File.Exists(Path.Combine(Repository.Root, Regex.Match(Section, @"!\[[^\]]*\]\(([^)]+)\)").Groups[1].Value)));

    private static double Number(string text) =>
        double.Parse(text, NumberStyles.AllowThousands | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture);
}
