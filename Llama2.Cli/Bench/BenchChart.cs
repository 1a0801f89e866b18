using System.Globalization;
using System.Security;
using System.Text;

namespace Llama2.Cli.Bench;

/// <summary>
/// A report as horizontal bars of tok/s, in plain SVG: a panel for each model and phase. Text takes its colour from
/// the viewer's scheme, bars have colours that stand out on light and on dark.
/// </summary>
internal static class BenchChart
{
    private const int Width = 720, LabelWidth = 190, ValueWidth = 90, BarHeight = 18, Row = 26, TitleHeight = 40, Margin = 12;
    private const int MaxBar = Width - LabelWidth - ValueWidth - 2 * Margin;

    private sealed record Bar(string Label, string Style, double Value);

    public static string Svg(BenchReport report)
    {
        StringBuilder body = new();
        int y = Margin;
        foreach (BenchModel model in report.Models)
        {
            foreach (Phase phase in Enum.GetValues<Phase>())
                y = Panel(body, $"{model.Name}: {(phase == Phase.Decode ? "decode" : "prefill")}, tok/s", Bars(report, model, phase), y);
        }
        y = Text(body, Margin, y + 16, "note", "start", $"{report.Machine.Cpu}, {report.Machine.Cores} cores, {report.Machine.Runtime}") + Margin;
        return $$"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{Width}} {{y}}" width="{{Width}}" height="{{y}}" role="img">
            <style>
            text { font: 13px system-ui, sans-serif; fill: #1f2328 }
            .title { font-weight: 600 }
            .note { font-size: 11px }
            .simple { fill: #8c959f } .fast { fill: #2f81f7 } .int8 { fill: #8957e5 } .peer { fill: #bf8700 }
            @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
            </style>
            {{body}}</svg>

            """.ReplaceLineEndings("\n");
    }

    private static List<Bar> Bars(BenchReport report, BenchModel model, Phase phase)
    {
        BenchRow[] rows = [.. report.Rows.Where(row => row.Key.Model == model.Name && row.Key.Phase == phase)];
        List<Bar> bars = [];
        foreach (IGrouping<(string Name, int Threads), PeerSamples> peer in rows.SelectMany(row => row.Peers).GroupBy(peer => (peer.Name, peer.Threads)))
            bars.Add(new Bar(Label(peer.Key.Name, null, peer.Key.Threads), "peer", Statistics.Median([.. peer.SelectMany(runs => runs.Samples)])));
        foreach (BenchRow row in rows)
        {
            string style = row.Key.Implementation == "simple" ? "simple" : row.Key.Weights == "int8" ? "int8" : "fast";
            bars.Add(new Bar(Label(row.Key.Label, row.Key.Kernel, row.Key.Threads), style, Statistics.Median(row.Samples)));
        }
        return [.. bars.Where(bar => double.IsFinite(bar.Value))];
    }

    private static string Label(string name, string? kernel, int threads) => $"{name}{(kernel is null ? "" : " " + kernel)}, {threads} {(threads == 1 ? "thread" : "threads")}";

    private static int Panel(StringBuilder svg, string title, List<Bar> bars, int y)
    {
        if (bars.Count == 0)
            return y;
        Text(svg, Margin, y + 20, "title", "start", title);
        y += TitleHeight - Margin;
        double max = bars.Max(bar => bar.Value);
        foreach (Bar bar in bars)
        {
            double length = Math.Max(1, MaxBar * bar.Value / max);
            Text(svg, LabelWidth, y + 14, null, "end", bar.Label);
            svg.Append(CultureInfo.InvariantCulture, $"<rect class=\"{bar.Style}\" x=\"{LabelWidth + 8}\" y=\"{y}\" width=\"{length:0.#}\" height=\"{BarHeight}\" rx=\"3\"/>\n");
            Text(svg, LabelWidth + 14 + length, y + 14, null, "start", BenchTable.Number(bar.Value));
            y += Row;
        }
        return y + Margin;
    }

    private static int Text(StringBuilder svg, double x, int y, string? style, string anchor, string text)
    {
        string attribute = style is null ? "" : $" class=\"{style}\"";
        svg.Append(CultureInfo.InvariantCulture, $"<text{attribute} x=\"{x:0.#}\" y=\"{y}\" text-anchor=\"{anchor}\">{SecurityElement.Escape(text)}</text>\n");
        return y;
    }
}
