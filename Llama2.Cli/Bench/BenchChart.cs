using System.Security;
using System.Text;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Bench;

/// <summary>A report as horizontal bars of tok/s in SVG: a panel for each model and phase, readable on light and on dark pages.</summary>
internal static class BenchChart
{
    private const int Width = 720, Left = 198, MaxBar = 416, BarHeight = 18, RowHeight = 26, Margin = 12;

    public static string Svg(BenchReport report)
    {
        StringBuilder svg = new();
        int y = Margin;
        foreach (var panel in report.Rows.Where(row => row.Samples.Count > 0).GroupBy(row => (row.Key.Model, row.Key.Phase)))
        {
            Text(Margin, 20, "title", "start", $"{panel.Key.Model}: {RowKey.InWords(panel.Key.Phase)}, tok/s");
            y += RowHeight + 2;
            foreach (BenchRow row in panel)
            {
                double length = Math.Max(1, MaxBar * row.Median / panel.Max(other => other.Median));
                string style = row.IsPeer ? "peer" : row.Kernel is null ? "simple" : row.Key.Name.StartsWith("fast int8") ? "int8" : "fast";
                Text(Left - 8, 14, "label", "end", $"{row.Key.Name}, {Notes.Count(row.Key.Threads, "thread")}");
                svg.Append($"<rect class=\"{style}\" x=\"{Left}\" y=\"{y}\" width=\"{length:0.#}\" height=\"{BarHeight}\" rx=\"3\"/>\n");
                Text(Left + 6 + length, 14, "value", "start", BenchTable.Number(row.Median));
                y += RowHeight;
            }
            y += Margin;
        }
        Text(Margin, 16, "note", "start", $"{report.Machine.Cpu}, {report.Machine.Cores} cores, {report.Machine.Runtime}");
        return $$"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{Width}} {{y + 28}}" width="{{Width}}" height="{{y + 28}}" role="img">
            <style>
            text { font: 13px system-ui, sans-serif; fill: #1f2328 }
            .title { font-weight: 600 } .note { font-size: 11px }
            .simple { fill: #8c959f } .fast { fill: #2f81f7 } .int8 { fill: #8957e5 } .peer { fill: #bf8700 }
            @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
            </style>
            {{svg}}</svg>

            """.ReplaceLineEndings("\n");

        void Text(double x, int below, string style, string anchor, string text) => svg.Append(
            $"<text class=\"{style}\" x=\"{x:0.#}\" y=\"{y + below}\" text-anchor=\"{anchor}\">{SecurityElement.Escape(text)}</text>\n");
    }
}
