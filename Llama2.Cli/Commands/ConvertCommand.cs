using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Commands;

/// <summary>
/// Writes a model of any format in another: as a GGUF file or as one of llama2.c's, tensor by tensor. It has two names, which differ in
/// what they write where nothing is said.
/// </summary>
internal static class ConvertCommand
{
    public const string Name = "convert", QuantizeName = "quantize";

    private const string Float32 = "f32", Int8 = "q8_0"; // the types of llama2.c's files
    private const string OfGguf = ".gguf", OfLlama2C = ".bin";

    /// <summary>What a file of another format is to be.</summary>
    /// <param name="Types">The name of a <see cref="TypeMix"/>.</param>
    /// <param name="Version">The version of a file of llama2.c, or null for GGUF.</param>
    /// <param name="GroupSize">Elements a scale in version 2; null for the default.</param>
    private sealed record Target(string Types, int? Version, int? GroupSize);

    public static void AddTo(Command command)
    {
        bool isQuantize = command.Name == QuantizeName;
        Argument<string> input = command.AddArgument<string>("in", "model to read, or the name of one that list shows");
        Argument<string> output = command.AddArgument<string>("out", "file to write: .gguf, or .bin for llama2.c's format, else "
            + (isQuantize ? "llama2.c's" : "GGUF") + "; the tokenizer of a .bin goes beside it, as NAME.tokenizer.bin");
        Option<string?> type = command.AddOption<string?>("--type", "type", "of the matrices; llama2.c's format has f32 and q8_0; default: "
            + (isQuantize ? Int8 : $"f16, of a .bin {Float32}"));
        Option<int?> version = command.AddOption<int?>(
            "--version", "0|1|2", "of llama2.c's format: 0 or 1 hold f32, 2 holds q8_0; default: 0 for f32");
        Option<int?> group = command.AddOption<int?>("--group", "int",
            $"weights of a .bin that share a scale; default: the largest up to {WeightQuantizer.MaxGroupSize} that divides all rows");
        type.AcceptOnlyFrom([.. TypeMix.All.Select(mix => mix.Name)]);
        command.SetAction(result =>
        {
            string path = result.GetRequiredValue(output);
            Target target = Choose(isQuantize, path, result.GetValue(type), result.GetValue(version), result.GetValue(group));
            ModelSource source = ModelFiles.RequireCheckpoint(result.GetRequiredValue(input));
            using ModelFile model = source.Open();
            return Run(source, model, target, path);
        });
    }

    /// <exception cref="UsageException">The options contradict one another.</exception>
    private static Target Choose(bool isQuantize, string path, string? type, int? version, int? group)
    {
        bool isGguf = Path.GetExtension(path) is var ending && ending == OfGguf
            || (ending != OfLlama2C && !isQuantize && (version, group) == (null, null));
        if (isGguf)
        {
            UsageException.ThrowIf((version, group) != (null, null), $"--version and --group are of llama2.c's format, not of {OfGguf}");
            return new Target(type ?? (isQuantize ? Int8 : "f16"), null, null);
        }
        type ??= version is 0 or 1 || (version is null && group is null && !isQuantize) ? Float32 : Int8;
        UsageException.ThrowIf(type is not (Float32 or Int8), $"--type: llama2.c's format holds {Float32} or {Int8}, not {type}");
        int chosen = version ?? (type == Float32 ? 0 : 2);
        UsageException.ThrowIf(chosen is not (0 or 1 or 2), $"--version: expected 0, 1 or 2, found {chosen}");
        UsageException.ThrowIf(type == Float32 != chosen < 2, $"--version {chosen} does not hold {type}");
        UsageException.ThrowIf(chosen < 2 && group is not null, $"--group: {Float32} has no groups");
        return new Target(type, chosen, group);
    }

    private static int Run(ModelSource source, ModelFile model, Target target, string path)
    {
        UsageException.ThrowIf(AtomicFile.IsSame(model.Path, path), $"{path} is the input; name another file");
        UsageException.ThrowIf(AtomicFile.IsDevice(path), $"{path} is no file that can be read again, to compare it; name another");
        using Interrupt interrupt = new();
        CheckpointCopy? copy = target.Version is { } version ? new CheckpointCopy(source, model, version, target.GroupSize) : null;
        FiniteWeights.Check(model, copy is null ? TypeMix.Find(target.Types) : null, interrupt.Token);
        (long length, Action<Stream, IProgress<long>> write) = copy is null ? Gguf(source, model, target.Types) : (copy.Length, copy.Write);
        ProgressBar.RunAsync(Path.GetFileName(path), bar => Task.Run(() => AtomicFile.Write(path, stream =>
            write(stream, new WriteProgress(bar, length, interrupt.Token))))).GetAwaiter().GetResult();

        using ModelFile written = ModelFile.Open(path);
        string? tokenizer = copy?.WriteTokenizer(path);
        Output.WriteLines(Describe(model));
        Output.WriteLines(Describe(written));
        if (tokenizer is not null)
            Output.WriteLines(Visible.Of($"{tokenizer}: its tokenizer"));
        (float error, string tensor) = CopyAccuracy.Largest(model.Weights, written.Weights, interrupt.Token);
        Output.WriteLines($"largest error: {error:G3}{(error == 0 ? "" : $" in {tensor}")}");
        if (copy is not null)
        {
            (int agreeing, int steps) = CopyAccuracy.GreedyAgreement(model, written, interrupt.Token);
            Output.WriteLines($"greedy agreement: {agreeing} of {steps} tokens of the story the original tells without a prompt");
            if (model.ChatTemplate is not null)
                Notes.Write("its chat template is left out, as llama2.c's format holds none: chat and serve will need --template");
        }
        else
            NoteOnGguf(model, written, TypeMix.Find(target.Types));
        return ExitCode.Success;
    }

    private static (long, Action<Stream, IProgress<long>>) Gguf(ModelSource source, ModelFile model, string types)
    {
        GgufWriter writer = model is GgufModel gguf
            ? GgufModelWriter.Create(gguf, types)
            : GgufModelWriter.Create(source.Name, model.Config, model.Weights, FindTokenizer(source, model), types);
        return (writer.Length, writer.Write);
    }

    private static Tokenizer? FindTokenizer(ModelSource source, ModelFile model) =>
        ModelFiles.TokenizerBytes(source, model.Config.VocabSize) is { } bytes ? new(TokenizerFile.Parse(bytes, source.Path)) : null;

    /// <summary>Says which matrices are of another type than the one asked for, and that a tokenizer is missing.</summary>
    private static void NoteOnGguf(ModelFile model, ModelFile written, TypeMix types)
    {
        (string Name, int Layer)[] matrices =
            [.. model.Weights.Named().Where(named => !Weights.IsVector(named.Name)).Select(named => (named.Name, named.Layer ?? 0))];
        var others = from matrix in matrices
                     let wanted = types.WantedType(model.Weights, matrix.Name, matrix.Layer)
                     let type = types.TypeOf(model.Weights, matrix.Name, matrix.Layer)
                     where type != wanted
                     group matrix by (type, wanted) into some
                     select $"{some.Count()} of {matrices.Length} matrices are {some.Key.type}, as their rows are not of whole blocks of "
                         + $"{some.Key.wanted.BlockElements} for {some.Key.wanted}";
        string note = string.Join("; ", others);
        if (note.Length > 0)
            Notes.Write(note);
        if (written.Tokenizer is null)
            Notes.Write("no tokenizer was found to go into it: -z FILE will have to name one");
    }

    private static string Describe(ModelFile model) =>
        Visible.Of($"{model.Path}: {model.Length:N0} bytes, {model.Format}, {model.Weights.DescribeTypes()}");

    /// <summary>Shows the bytes written of a total, and stops the work between two tensors after Ctrl-C.</summary>
    private sealed class WriteProgress(ProgressBar bar, long total, CancellationToken cancellation) : IProgress<long>
    {
        public void Report(long value)
        {
            cancellation.ThrowIfCancellationRequested();
            bar.Report(value, total);
        }
    }
}
