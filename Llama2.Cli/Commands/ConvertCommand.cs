using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Commands;

/// <summary>Writes a model of any format as a GGUF file, tensor by tensor.</summary>
internal static class ConvertCommand
{
    private const string DefaultType = "f16";

    public static void AddTo(Command command)
    {
        Argument<string> input = command.AddArgument<string>("in", "model to read, or the name of one in weights/");
        Argument<string> output = command.AddArgument<string>("out", "GGUF file to write");
        string[] types = [DefaultType, .. BlockQuantizer.Types.Select(each => each.Name).Where(name => name != DefaultType)];
        Option<string> type = command.AddChoice("--type", "type", $"of the matrices; default: {DefaultType}", types);
        command.SetAction(result =>
        {
            using ModelFile model = ModelFile.Open(ModelFiles.FindCheckpoint(result.GetRequiredValue(input)));
            return Run(model, result.GetValue(type)!, result.GetRequiredValue(output));
        });
    }

    private static int Run(ModelFile model, string type, string path)
    {
        UsageException.ThrowIf(AtomicFile.IsSame(model.Path, path), $"{path} is the input; name another file");
        using Interrupt interrupt = new();
        Tokenizer? tokenizer = model is Checkpoint ? FindTokenizer(model) : null;
        GgufWriter writer = model is GgufModel gguf
            ? GgufModelWriter.Create(gguf, type)
            : GgufModelWriter.Create(Path.GetFileNameWithoutExtension(model.Path), model.Config, model.Weights, tokenizer, type);
        ProgressBar.RunAsync(Visible.Of(Path.GetFileName(path)), bar => Task.Run(() => AtomicFile.Write(path, stream =>
            writer.Write(stream, new WriteProgress(bar, writer.Length, interrupt.Token))))).GetAwaiter().GetResult();

        using ModelFile written = ModelFile.Open(path);
        Output.WriteLine(Describe(model));
        Output.WriteLine(Describe(written));
        if (written.Tokenizer is null)
            Notes.Write("no tokenizer was found to go into it: -z FILE will have to name one");
        return ExitCode.Success;
    }

    private static Tokenizer? FindTokenizer(ModelFile model)
    {
        try
        {
            return ModelFiles.OpenTokenizer(null, model.Path, model.Config.VocabSize) as Tokenizer;
        }
        catch (ModelFileException)
        {
            return null;
        }
    }

    private static string Describe(ModelFile model) =>
        Visible.Of($"{model.Path}: {model.Length:N0} bytes, {model.Format}, {model.Weights.DescribeTypes()}");
}
