using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Inspect;

/// <summary>JSON as a text for people, as inspect and list print it.</summary>
internal static class ReportText
{
    /// <summary>The form of the JSON itself.</summary>
    public static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // tokens are full of "+" and of letters outside ASCII
    };

    /// <summary>A report as text: an object in an object is a paragraph, a list of objects is a table.</summary>
    public static string Of(JsonObject report)
    {
        string text = Table([.. report.Where(pair => pair.Value is JsonValue or null).Select(pair => Line(pair.Key, pair.Value))]);
        foreach ((string name, JsonNode? value) in report)
        {
            if (value is JsonObject part)
                text += $"\n{name}\n{Table([.. part.Select(pair => Line("  " + pair.Key, pair.Value))])}";
            else if (value is JsonArray { Count: > 0 } rows)
                text += "\n" + Of(rows);
        }
        return text;

        static string[] Line(string name, JsonNode? value) => [name, Cell(value)];
    }

    /// <summary>Objects with the same names, one at least, as a table.</summary>
    public static string Of(JsonArray rows) => Table([
        [.. rows[0]!.AsObject().Select(pair => pair.Key)],
        .. rows.Select(row => row!.AsObject().Select(pair => Cell(pair.Value)).ToArray())]);

    private static string Cell(JsonNode? value) => value?.GetValueKind() switch
    {
        null => "-",
        JsonValueKind.True => "yes",
        JsonValueKind.False => "no",
        JsonValueKind.Number when long.TryParse(value.ToJsonString(), CultureInfo.InvariantCulture, out long whole) => $"{whole:N0}",
        JsonValueKind.Number => $"{double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture):G4}",
        JsonValueKind.Array => string.Join(" x ", value.AsArray().Select(part => part!.ToString())),
        _ => value.ToString().ReplaceLineEndings("\\n"), // a file's name may hold some
    };

    /// <summary>
    /// Rows in columns: the first to the left, then numbers to the right. In a narrow terminal the last columns are left out, and the
    /// value behind a name is wrapped at blanks.
    /// </summary>
    private static string Table(string[][] rows)
    {
        int columns = rows.Max(row => row.Length), width = Output.IsTerminal ? Tty.Size.Columns : int.MaxValue;
        int[] widths = [.. Enumerable.Range(0, columns).Select(column => rows.Max(row => row[column].Length))];
        if (columns == 2)
        {
            int indent = widths[0] + 2;
            return string.Concat(rows.Select(row => row[0].PadRight(indent) + TextWidth.Wrap(row[1], width, indent, indent) + "\n"));
        }
        while (columns > 1 && widths.Take(columns).Sum() + 2 * (columns - 1) > width)
            columns--;
        return string.Concat(rows.Select(row => string.Join("  ", row.Take(columns).Select(Pad)).TrimEnd() + "\n"));

        string Pad(string cell, int column) => rows.Length > 2 && column > 0 ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]);
    }
}
