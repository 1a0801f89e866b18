using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Llama2.Cli.Inspect;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Shows what is in a model's file and the memory it needs, or the kernels of this machine.</summary>
internal static class InspectCommand
{
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // tokens are full of "+" and of letters outside ASCII
    };

    public static void AddTo(Command command)
    {
        Argument<string?> file = ModelOptions.AddCheckpoint(command, "file");
        Option<int?> context = command.AddOption<int?>(
            "--context", "int", "tokens to compute the memory for; default: as many as the model holds");
        Option<bool> stats = command.AddFlag("--stats", "minimum, maximum, mean and outliers of each tensor");
        Option<string?> tokenizer = ModelOptions.AddTokenizer(command, "the one generate would take");
        Option<bool> cpu = command.AddFlag("--cpu", "the kernels, and which one this machine takes");
        Option<bool> json = command.AddFlag("--json", "the same as JSON");
        command.SetAction(result =>
        {
            string? name = result.GetValue(file);
            UsageException.ThrowIf(result.GetValue(cpu) && name is not null, "--cpu is about this machine and takes no file");
            JsonObject report = result.GetValue(cpu) ? CpuReport.Create()
                : Report(name, result.GetValue(context), result.GetValue(stats), result.GetValue(tokenizer));
            Output.WriteLine(result.GetValue(json) ? report.ToJsonString(Json) : Text(report).TrimEnd());
            return ExitCode.Success;
        });
    }

    private static JsonObject Report(string? name, int? context, bool statistics, string? tokenizer)
    {
        using ModelFile model = ModelFile.Open(ModelFiles.FindCheckpoint(name));
        int tokens = context ?? model.Config.SeqLen;
        return tokens >= 1 && tokens <= model.Config.SeqLen
            ? ModelReport.Create(model, tokens, statistics, tokenizer)
            : throw new UsageException($"--context: expected 1 to {model.Config.SeqLen}, found {tokens}");
    }

    /// <summary>A report as text: an object in an object is a paragraph, a list of objects is a table.</summary>
    private static string Text(JsonObject report)
    {
        string text = Table([.. report.Where(pair => pair.Value is JsonValue or null).Select(pair => Line(pair.Key, pair.Value))]);
        foreach ((string name, JsonNode? value) in report)
        {
            if (value is JsonObject part)
                text += $"\n{name}\n{Table([.. part.Select(pair => Line("  " + pair.Key, pair.Value))])}";
            else if (value is JsonArray { Count: > 0 } rows)
                text += "\n" + Table([Names(rows[0]!), .. rows.Select(Cells)]);
        }
        return text;

        static string[] Line(string name, JsonNode? value) => [name, Cell(value)];
        static string[] Names(JsonNode row) => [.. row.AsObject().Select(pair => pair.Key)];
        static string[] Cells(JsonNode? row) => [.. row!.AsObject().Select(pair => Cell(pair.Value))];
    }

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
        bool right = rows.Length > 2 && columns > 2;
        if (columns == 2)
            return string.Concat(rows.Select(row => Pad(row[0], 0) + "  " + Wrapped(row[1], widths[0] + 2) + "\n"));
        while (columns > 1 && widths.Take(columns).Sum() + 2 * (columns - 1) > width)
            columns--;
        return string.Concat(rows.Select(row => string.Join("  ", row.Take(columns).Select(Pad)).TrimEnd() + "\n"));

        string Wrapped(string value, int indent)
        {
            string text = "";
            int used = indent;
            foreach (string word in value.Split(' '))
            {
                bool breaks = used > indent && used + 1 + word.Length > width;
                text += (breaks ? "\n" + new string(' ', indent) : used > indent ? " " : "") + word;
                used = (breaks ? indent : used + (used > indent ? 1 : 0)) + word.Length;
            }
            return text;
        }

        string Pad(string cell, int column) => right && column > 0 ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]);
    }
}
