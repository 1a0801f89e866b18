using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Says what is in a checkpoint and what running it takes; or what this machine runs it with.</summary>
internal static class InspectCommand
{
    // As it is, also "+" and letters outside ASCII, of which tokens are full.
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void AddTo(Command command)
    {
        Argument<string?> file = new("file") { Description = "checkpoint, or the name of a model in weights/; default: the model that ships", Arity = ArgumentArity.ZeroOrOne };
        Option<int?> context = new("--context") { Description = "tokens to reckon the memory for; default: as many as the model holds", HelpName = "int" };
        Option<bool> stats = new("--stats") { Description = "minimum, maximum, mean and outliers of each tensor" };
        Option<string?> tokenizer = new("--tokenizer", "-tokenizer", "-z") { Description = "tokenizer; default: the one generate would take", HelpName = "file" };
        Option<bool> cpu = new("--cpu") { Description = "the kernels, and which one this machine takes" };
        Option<bool> json = new("--json") { Description = "the same as JSON" };
        command.Add(file);
        command.Add(context);
        command.Add(stats);
        command.Add(tokenizer);
        command.Add(cpu);
        command.Add(json);
        command.SetAction(result =>
        {
            if (result.GetValue(cpu))
            {
                if (result.GetValue(file) is not null)
                    throw new UsageException("--cpu is about this machine and takes no file");
                Print(CpuReport.Create(), result.GetValue(json));
                return Program.Success;
            }
            string path = ModelFiles.FindCheckpoint(result.GetValue(file));
            using Checkpoint checkpoint = Checkpoint.Open(path);
            int tokens = result.GetValue(context) ?? checkpoint.Config.SeqLen;
            if (tokens < 1 || tokens > checkpoint.Config.SeqLen)
                throw new UsageException($"--context: expected 1 to {checkpoint.Config.SeqLen}, found {tokens}");
            JsonObject report = ModelReport.Create(checkpoint, tokens, result.GetValue(stats), result.GetValue(tokenizer));
            Print(report, result.GetValue(json));
            return Program.Success;
        });
    }

    private static void Print(JsonObject report, bool json) => Output.WriteLine(json ? report.ToJsonString(Json) : Text(report).TrimEnd());

    /// <summary>A report as text: an object in an object is a paragraph, a list of objects is a table.</summary>
    private static string Text(JsonObject report)
    {
        string[][] plain = [.. report.Where(pair => pair.Value is JsonValue or null).Select(pair => (string[])[pair.Key, Cell(pair.Value)])];
        string text = Table(plain);
        foreach ((string name, JsonNode? value) in report)
        {
            if (value is JsonObject part)
                text += $"\n{name}\n{Table([.. part.Select(pair => (string[])["  " + pair.Key, Cell(pair.Value)])])}";
            else if (value is JsonArray { Count: > 0 } rows)
                text += "\n" + Table([[.. rows[0]!.AsObject().Select(pair => pair.Key)], .. rows.Select(row => (string[])[.. row!.AsObject().Select(pair => Cell(pair.Value))])]);
        }
        return text;
    }

    private static string Cell(JsonNode? value) => value?.GetValueKind() switch
    {
        null => "-",
        JsonValueKind.True => "yes",
        JsonValueKind.False => "no",
        JsonValueKind.Number when long.TryParse(value.ToJsonString(), CultureInfo.InvariantCulture, out long whole) => whole.ToString("N0", CultureInfo.InvariantCulture),
        JsonValueKind.Number => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture).ToString("G4", CultureInfo.InvariantCulture),
        JsonValueKind.Array => string.Join(" x ", value.AsArray().Select(part => part!.ToString())),
        _ => value.ToString(),
    };

    /// <summary>Rows in columns: the first to the left, then numbers to the right.</summary>
    private static string Table(string[][] rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows.Max(row => row.Length)).Select(column => rows.Max(row => row[column].Length))];
        bool[] right = [.. Enumerable.Range(0, widths.Length).Select(column => rows.Length > 2 && column > 0 && widths.Length > 2)];
        return string.Concat(rows.Select(row => string.Join("  ", row.Select((cell, column) => right[column] ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]))).TrimEnd() + "\n"));
    }
}
