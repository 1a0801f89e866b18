using System.Xml.Linq;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class TableTests
{
    [Fact]
    public void A_table_shows_rates_shares_and_ratios()
    {
        TextTable[] tables = [.. BenchTable.Of(Reports.Full)];
        Assert.Equal(2, tables.Length);
        Assert.Equal("small, decode of 256 tokens", tables[0].Title);
        Assert.Equal(["implementation", "threads", "tok/s", "spread", "GB/s", "of read", "x simple", "x llama2.c"], tables[0].Columns);
        Assert.Equal(["simple", "1", "100", "20%", "0.20", "2%", "1.00", "0.10"], tables[0].Rows[0]);
        Assert.Equal(["fast", "2", "1,500", "1%", "3.00", "30%", "15.0", "1.50"], tables[0].Rows[1]);
        Assert.Equal(["fast int8", "2", "3,000", "0%", "6.00", "60%", "30.0", "-"], tables[0].Rows[2]);
        Assert.Equal(["llama2.c", "2", "1,000", "10%", "-", "-", "-", "-"], tables[0].Rows[3]);
        Assert.Equal(["fast", "2", "12,345", "0%", "24.7", "247%", "103"], tables[1].Rows[1]);
    }

    [Fact]
    public void What_failed_says_so()
    {
        BenchReport report = Reports.Of(
            Reports.Row("simple", "float32", 1, Phase.Decode, 100) with { Peers = [new PeerSamples("p|q", 2, [], "it crashed")] },
            Reports.Row("fast", "float32", 2, Phase.Decode) with { Error = "it crashed" });
        TextTable table = Assert.Single(BenchTable.Of(report));
        Assert.Equal("failed", table.Rows[1][2]);
        Assert.Equal("failed", table.Rows[2][2]);
        Assert.All(table.Rows, row => Assert.Equal(table.Columns.Count, row.Count));
        Assert.Contains("| p\\|q |", BenchTable.Markdown(table), StringComparison.Ordinal);
    }

    [Fact]
    public void Markdown_has_as_many_cells_in_every_line()
    {
        string[] lines = [.. BenchTable.Markdown(BenchTable.Of(Reports.Full).First()).Split('\n').Where(line => line.StartsWith('|'))];
        Assert.Equal(2 + 4, lines.Length);
        Assert.All(lines, line => Assert.Equal(lines[0].Count(c => c == '|'), line.Count(c => c == '|')));
    }

    [Fact]
    public void The_chart_is_well_formed_and_reads_on_light_and_dark()
    {
        string svg = BenchChart.Svg(Reports.Full with { Machine = new Machine("<CPU> & co", 2, "", "", "") });
        XElement root = XDocument.Parse(svg).Root!;
        XNamespace ns = "http://www.w3.org/2000/svg";
        double[] bars = [.. root.Elements(ns + "rect").Select(bar => (double)bar.Attribute("width")!)];
        Assert.Equal(6, bars.Length); // 4 of decode, 2 of prefill
        Assert.Equal(2, bars[2] / bars[3] * 4, 0.05); // fast 1,500, fast int8 3,000
        Assert.Contains("prefers-color-scheme: dark", svg, StringComparison.Ordinal);
        Assert.Contains(root.Elements(ns + "text"), text => text.Value.Contains("<CPU> & co", StringComparison.Ordinal));
    }

    [Fact]
    public void The_readme_table_has_the_form_of_the_Go_original()
    {
        string section = ReadmeTable.Write(Reports.Full, "docs/bench.svg");
        Assert.Contains("| system | model | llama2.c | simple | fast | fast int8 | prefill |\n|", section, StringComparison.Ordinal);
        Assert.Contains("| A CPU, 2 cores, .NET | small | 1,000 | 100 (0.10) | 1,500 (1.50) | 3,000 (3.00) | 12,345 |\n", section, StringComparison.Ordinal);
        Assert.Contains("\nllama2 bench --quick\n", section, StringComparison.Ordinal);
        Assert.Contains("](docs/bench.svg)", section, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_what_is_between_the_markers_is_rewritten()
    {
        string readme = "before $1\n" + ReadmeTable.Write(Reports.Full, null) + "\nafter\n";
        string rewritten = ReadmeTable.Rewrite(readme, "README.md", ReadmeTable.Write(Reports.Full with { Command = "--again $1" }, null));
        Assert.Equal(readme.Replace("--quick", "--again $1", StringComparison.Ordinal), rewritten);
        Assert.Equal("a <!-- b -->x<!-- c -->", ReadmeTable.Rewrite($"a {ReadmeTable.Begin} -->\n{ReadmeTable.End}<!-- c -->", "", "<!-- b -->x"));
        Assert.Contains("README.md", Assert.Throws<UsageException>(() => ReadmeTable.Rewrite("no markers", "README.md", "")).Message, StringComparison.Ordinal);
    }
}
