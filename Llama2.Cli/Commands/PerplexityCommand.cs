using System.CommandLine;
using System.Text.Json.Nodes;
using Llama2.Cli.Inspect;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple.Formats;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Commands;

/// <summary>How well a model predicts a text.</summary>
internal static class PerplexityCommand
{
    private const int DefaultContext = 512;

    public static void AddTo(Command command)
    {
        ModelOptions model = new(command, isRequired: true);
        Argument<string> file = command.AddArgument<string>("file", "the text, or - for stdin, less the newline at its end");
        Option<int?> context = command.AddOption<int?>("--context", "int",
            $"tokens of a window of the text, BOS included; default: {DefaultContext}, or as many as the model holds");
        Option<int?> stride = command.AddOption<int?>("--stride", "int",
            "tokens from a window's start to the next one's; a token counts in its first window; default: half a window");
        Option<bool> json = command.AddFlag("--json", "the figures as JSON");
        command.SetAction(result =>
        {
            using LoadedModel loaded = model.Load(result);
            int most = loaded.Config.SeqLen, window = result.GetValue(context) ?? Math.Min(DefaultContext, most);
            UsageException.ThrowIf(window < 2 || window > most, $"--context: expected 2 to {most}, found {window}");
            int step = result.GetValue(stride) ?? window / 2;
            UsageException.ThrowIf(step < 1 || step >= window, $"--stride: expected 1 to {window - 1}, less than a window, found {step}");
            Perplexity found = Measure(loaded, result.GetRequiredValue(file), window, step, isSilent: ModelOptions.IsSilent(result));
            if (result.GetValue(json))
                Output.WriteLine(Report(loaded, found, window, step).ToJsonString(ReportText.Json));
            else
                Output.WriteLines($"perplexity {found.Value:F4}, {found.NatsPerToken:F6} nats a token over "
                    + $"{Notes.Count(found.Tokens, "token")}\n"
                    + $"{Notes.Count(found.Windows, "window")} of {window} tokens, each {step} after the one before");
            return ExitCode.Success;
        });
    }

    private static Perplexity Measure(LoadedModel model, string file, int window, int stride, bool isSilent)
    {
        using Interrupt interrupt = new();
        int[] tokens = FastTokenizer.Of(model.Tokenizer).Encode(Input.ReadText(file, interrupt.Token), bos: false, blank: true);
        int? bos = model.Tokenizer.AddsBos ? model.Tokenizer.Bos : null;
        int predicted = tokens.Length - (bos is null ? 1 : 0);
        if (predicted < 1)
            throw new ModelFileException(file, "text", bos is null ? "at least 2 tokens" : "at least 1 token", $"{tokens.Length}");
        bool shows = !isSilent && !Console.IsErrorRedirected;
        if (!model.File.Weights.AreFloats) // a NaN among them becomes some whole number of an activation, and the sum would not show it
            FiniteWeights.Check(model.File, null, interrupt.Token);
        Perplexity found = Perplexity.Of(model.Transformer, tokens, bos, window, stride, shows ? Show : null, interrupt.Token);
        if (shows)
            Notes.Writer.Write("\r\e[K");
        if (!double.IsFinite(found.Value))
            FiniteWeights.Check(model.File, null, interrupt.Token);
        return found;

        void Show(Perplexity sum)
        {
            if (sum.Tokens > 0)
            {
                string line = $"perplexity so far {sum.Value:F4}, {sum.Tokens} of {predicted} tokens";
                Notes.Writer.Write($"\r{line[..Math.Min(line.Length, Tty.Size.Columns - 1)]}\e[K"); // in one row, which the next replaces
            }
        }
    }

    private static JsonObject Report(LoadedModel model, Perplexity found, int window, int stride) => new()
    {
        ["model"] = model.Source.Path,
        ["type"] = model.Weights.DescribeTypes(),
        ["context"] = window,
        ["stride"] = stride,
        ["windows"] = found.Windows,
        ["tokens"] = found.Tokens,
        ["nats_per_token"] = double.IsFinite(found.NatsPerToken) ? found.NatsPerToken : null,
        ["perplexity"] = double.IsFinite(found.Value) ? found.Value : null,
    };
}
