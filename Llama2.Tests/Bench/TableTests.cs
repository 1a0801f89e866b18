using System.Text.RegularExpressions;
using System.Xml.Linq;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class TableTests
{
    [Fact]
    public void A_table_shows_rates_ratios_and_the_share_of_the_bandwidth()
    {
        (string Title, TextTable Table)[] tables = [.. BenchTable.Of(Reports.Full)];
        Assert.Equal(["small, decode of 256 tokens", "small, prefill of 256 tokens"], tables.Select(titled => titled.Title));
        (TextTable decode, TextTable prefill) = (tables[0].Table, tables[1].Table);
        Assert.Equal(["implementation", "threads", "tok/s", "spread", "x simple", "x llama2.c", "GB/s", "of read"], decode.Columns);
        Assert.Equal(["simple", "1", "100", "20%", "1.00", "0.10", "0.20", "2%"], decode.Rows[0]);
        Assert.Equal(["fast", "2", "1,500", "1%", "15.0", "1.50", "3.00", "30%"], decode.Rows[1]);
        Assert.Equal(["fast int8", "2", "3,000", "0%", "30.0", "3.00", "6.00", "60%"], decode.Rows[2]);
        Assert.Equal(["llama2.c", "2", "1,000", "10%", "10.0", "1.00", "-", "-"], decode.Rows[3]);
        Assert.Equal(["implementation", "threads", "tok/s", "spread", "x simple"], prefill.Columns);
        Assert.Equal(["fast", "2", "12,345", "0%", "103"], prefill.Rows[1]);
    }

    [Fact]
    public void A_ratio_is_to_the_peer_with_as_many_threads_or_else_with_the_most()
    {
        BenchRow[] ours = [.. new[] { 1, 2, 3 }.Select(threads => Reports.Row("fast", threads, Phase.Decode, 100))];
        BenchReport report = Reports.Of([.. ours, Reports.PeerRow(1, 10), Reports.PeerRow(4, 40), Reports.PeerRow(2, 20)]);
        Assert.Equal(["10.0", "5.00", "2.50"], BenchTable.Of(report).Single().Table.Rows.Take(3).Select(row => row[5]));
    }

    [Fact]
    public void A_row_without_samples_failed()
    {
        BenchReport report = Reports.Of(Reports.Row("p|q", 1, Phase.Decode), Reports.Row("fast", 2, Phase.Decode));
        TextTable table = BenchTable.Of(report).Single().Table;
        Assert.All(table.Rows, row => Assert.Equal("failed", row[2]));
        Assert.Contains("| p\\|q ", table.Lines().ElementAt(2));
    }

    [Theory]
    [InlineData(int.MaxValue, 8)]
    [InlineData(80, 7)]
    [InlineData(40, 3)]
    [InlineData(10, 1)]
    public void Columns_line_up_and_a_narrow_terminal_gets_fewer_of_them(int width, int columns)
    {
        string[] lines = [.. BenchTable.Of(Reports.Full).First().Table.Lines(width)];
        Assert.Equal(2 + 4, lines.Length);
        Assert.All(lines, line => Assert.True(line.Length <= Math.Max(width, 18)));
        Assert.All(lines, line => Assert.Equal(BarsOf(lines[0]), BarsOf(line)));
        Assert.Equal(columns + 1, BarsOf(lines[0]).Length);

        static int[] BarsOf(string line) => [.. line.Index().Where(c => c.Item == '|').Select(c => c.Index)];
    }

    [Fact]
    public void The_chart_is_well_formed_and_reads_on_light_and_dark()
    {
        string svg = BenchChart.Svg(Reports.Full with { Machine = new Machine("<CPU> & co", 2, "", "") });
        XElement root = XDocument.Parse(svg).Root!;
        XNamespace ns = "http://www.w3.org/2000/svg";
        double[] bars = [.. root.Elements(ns + "rect").Select(bar => (double)bar.Attribute("width")!)];
        Assert.Equal(6, bars.Length); // 4 of decode, 2 of prefill
        Assert.Equal(2, bars[2] / bars[1], 0.05); // fast int8 3,000, fast 1,500
        Assert.Contains("prefers-color-scheme: dark", svg);
        Assert.Contains(root.Elements(ns + "text"), text => text.Value.Contains("<CPU> & co"));
    }

    [Fact]
    public void The_readme_table_has_the_form_of_the_Go_original()
    {
        string section = Regex.Replace(ReadmeTable.Write(Reports.Full, "docs/bench.svg"), " +", " ");
        Assert.Contains("| system | model | llama2.c | simple | fast | fast int8 | prefill |\n|", section);
        Assert.Contains("| A CPU, 2 cores, .NET | small | 1,000 | 100 (0.10) | 1,500 (1.50) | 3,000 (3.00) | 12,345 |\n", section);
        Assert.Contains("\nllama2 bench --quick\n", section);
        Assert.Contains("](docs/bench.svg)", section);
    }

    [Fact]
    public void Only_what_is_between_the_markers_is_rewritten()
    {
        string readme = "before $1\n" + ReadmeTable.Write(Reports.Full, null) + "\nafter\n";
        string rewritten = ReadmeTable.Rewrite(readme, "", ReadmeTable.Write(Reports.Full with { Command = "--again $1" }, null));
        Assert.Equal(readme.Replace("--quick", "--again $1"), rewritten);
        readme = $"a {ReadmeTable.Begin} -->\n{ReadmeTable.End}<!-- c -->";
        Assert.Equal("a <!-- b -->x<!-- c -->", ReadmeTable.Rewrite(readme, "", "<!-- b -->x"));
        Assert.Contains("README.md", Assert.Throws<UsageException>(() => ReadmeTable.Rewrite("no markers", "README.md", "")).Message);
    }
}
