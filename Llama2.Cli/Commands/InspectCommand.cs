using System.CommandLine;
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
            Output.WriteLine(result.GetValue(json) ? report.ToJsonString(ReportText.Json) : ReportText.Of(report).TrimEnd());
            return ExitCode.Success;
        });
    }

    private static JsonObject Report(string? name, int? context, bool statistics, string? tokenizer)
    {
        ModelSource source = ModelFiles.RequireCheckpoint(name);
        using ModelFile model = source.Open();
        int tokens = context ?? model.Config.SeqLen;
        return tokens >= 1 && tokens <= model.Config.SeqLen
            ? ModelReport.Create(source, model, tokens, statistics, tokenizer)
            : throw new UsageException($"--context: expected 1 to {model.Config.SeqLen}, found {tokens}");
    }
}
