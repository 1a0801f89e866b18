using System.CommandLine;
using Llama2.Cli.Generate;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Commands;

/// <summary>Converts among the three versions of llama2.c's checkpoints.</summary>
internal static class QuantizeCommand
{
    private const int StepsToCompare = 64;

    public static void AddTo(Command command)
    {
        Argument<string> input = command.AddArgument<string>("in", "checkpoint to read, or the name of a model in weights/");
        Argument<string> output = command.AddArgument<string>("out", "checkpoint to write");
        Option<string?> type = command.AddOption<string?>("--type", "type", "q8_0: int8 in groups (the default); f32: float32");
        Option<int?> version = command.AddOption<int?>(
            "--version", "0|1|2", "format: 0 or 1 hold f32, 2 holds q8_0; default: 0 for f32");
        Option<int?> group = command.AddOption<int?>("--group", "int",
            $"weights that share a scale; default: the largest up to {WeightQuantizer.MaxGroupSize} that divides dim and hidden_dim");
        type.AcceptOnlyFromAmong("q8_0", "f32");
        command.SetAction(result =>
        {
            using Checkpoint checkpoint = Checkpoint.Open(ModelFiles.FindCheckpoint(result.GetRequiredValue(input)));
            CheckpointHeader header = Target(checkpoint.Header, result.GetValue(type), result.GetValue(version), result.GetValue(group));
            return Run(checkpoint, header, result.GetRequiredValue(output));
        });
    }

    /// <summary>The header of the file to write.</summary>
    /// <exception cref="UsageException">The options contradict one another or the model's shape.</exception>
    private static CheckpointHeader Target(CheckpointHeader source, string? type, int? version, int? group)
    {
        type ??= version is 0 or 1 ? "f32" : "q8_0";
        int target = version ?? (type == "f32" ? 0 : 2);
        UsageException.ThrowIf(target is not (0 or 1 or 2), $"--version: expected 0, 1 or 2, found {target}");
        UsageException.ThrowIf(type == "f32" != target < 2, $"--version {target} does not hold {type}");
        UsageException.ThrowIf(target < 2 && group is not null, "--group: f32 has no groups");
        int size = target < 2 ? 0 : group ?? WeightQuantizer.GroupSizeFor(source.Config);
        CheckpointHeader header = source with { Version = target, GroupSize = size };
        bool divides = size >= 1 && header.Tensors().All(tensor => tensor.GroupSize == 0 || tensor.Elements % size == 0);
        return target < 2 || divides ? header : throw new UsageException(
            $"--group {size} does not divide the tensors (dim {source.Config.Dim}, hidden_dim {source.Config.HiddenDim})");
    }

    private static int Run(Checkpoint checkpoint, CheckpointHeader header, string path)
    {
        UsageException.ThrowIf(AtomicFile.IsSame(checkpoint.Path, path), $"{path} is the input; name another file");
        using Interrupt interrupt = new();
        ProgressBar.RunAsync(Path.GetFileName(path), bar => Task.Run(() => AtomicFile.Write(path, stream =>
        {
            Reporter reporter = new(bar, header.FileLength, interrupt.Token);
            CheckpointWriter.Write(stream, header, checkpoint.Weights, checkpoint.RopeTables(), reporter);
        }))).GetAwaiter().GetResult();

        using Checkpoint written = Checkpoint.Open(path);
        (float error, string tensor) = LargestError(checkpoint, written);
        Output.WriteLine(Describe(checkpoint));
        Output.WriteLine(Describe(written));
        Output.WriteLine($"largest error: {error:G3}{(error == 0 ? "" : $" in {tensor}")}");
        (int agreeing, int steps) = GreedyAgreement(checkpoint, written, interrupt.Token);
        Output.WriteLine($"greedy agreement: {agreeing} of {steps} tokens of the story the original tells without a prompt");
        return ExitCode.Success;
    }

    private static string Describe(Checkpoint checkpoint) =>
        $"{checkpoint.Path}: {checkpoint.Length:N0} bytes, v{checkpoint.Header.Version}, {checkpoint.Weights.Classifier.Describe()}";

    /// <summary>The largest |difference| of any weight, and the tensor that has it.</summary>
    private static (float Error, string Tensor) LargestError(Checkpoint a, Checkpoint b)
    {
        (float Error, string Tensor) worst = (0, "");
        foreach ((string name, int? layer, Tensor tensor) in a.Weights.Named().Where(named => !Weights.IsNorm(named.Name)))
        {
            float error = LargestError(tensor, b.Weights[name, layer ?? 0]);
            if (!(error <= worst.Error))
                worst = (error, layer is null ? name : $"{name}, layer {layer}");
        }
        return worst;
    }

    private static float LargestError(Tensor a, Tensor b)
    {
        float[] x = new float[a.Columns], y = new float[a.Columns];
        float worst = 0;
        for (int row = 0; row < a.Rows; row++)
        {
            a.CopyRow(row, x);
            b.CopyRow(row, y);
            for (int i = 0; i < x.Length; i++)
                worst = MathF.Max(worst, MathF.Abs(x[i] - y[i])); // NaN if any is
        }
        return worst;
    }

    /// <summary>How often the copy would choose the token that the original chooses, along the original's greedy text.</summary>
    private static (int Agreeing, int Steps) GreedyAgreement(Checkpoint original, Checkpoint copy, CancellationToken cancellation)
    {
        using FastTransformer a = new(original.Config, original.Weights), b = new(copy.Config, copy.Weights);
        int[] tokens = GreedyText.Of(a, Math.Min(StepsToCompare, original.Config.SeqLen), cancellation);
        KvCache cache = new(copy.Config);
        float[] choices = new float[tokens.Length - 1];
        b.Forward([.. tokens[..^1].Select(token => new Row(token, cache, Want.Token))], choices);
        return (choices.Zip(tokens[1..]).Count(pair => pair.First == pair.Second), choices.Length);
    }

    /// <summary>Shows the bytes written, and stops the work between two tensors after Ctrl-C.</summary>
    private sealed class Reporter(ProgressBar bar, long total, CancellationToken cancellation) : IProgress<long>
    {
        public void Report(long value)
        {
            cancellation.ThrowIfCancellationRequested();
            bar.Report(value, total);
        }
    }
}
