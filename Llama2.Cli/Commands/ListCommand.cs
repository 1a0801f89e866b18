using System.CommandLine;
using System.Text.Json.Nodes;
using Llama2.Cli.Inspect;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Commands;

/// <summary>Lists the models that are found by their names.</summary>
internal static class ListCommand
{
    public static void AddTo(Command command)
    {
        Option<bool> json = command.AddFlag("--json", "the same as JSON, with the path of each file");
        command.SetAction(result =>
        {
            bool asJson = result.GetValue(json);
            JsonArray rows = new([.. ListedModel.All().Select(model => Row(model, withFile: asJson))]);
            Output.WriteLine(asJson ? rows.ToJsonString(ReportText.Json) : ReportText.Of(rows).TrimEnd());
            Notes.Write($"your folder: {ModelFolder.Path}");
            return ExitCode.Success;
        });
    }

    private static JsonObject Row(ListedModel model, bool withFile)
    {
        JsonObject row = new()
        {
            ["name"] = model.Name,
            ["bytes"] = model.Bytes,
            ["type"] = model.Type,
            ["where"] = model.Where,
            ["dim"] = model.Config?.Dim,
            ["layers"] = model.Config?.LayerCount,
            ["vocabulary"] = model.VocabSize,
            ["context"] = model.Config?.SeqLen,
        };
        if (withFile)
            row["file"] = model.Source.Path;
        return row;
    }
}
