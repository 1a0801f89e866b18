using System.CommandLine;
using Llama2.Cli.Generate;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
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
        Argument<string> output = command.AddArgument<string>("out",
            "checkpoint to write; its tokenizer goes beside it, as NAME.tokenizer.bin, where it would find no other");
        Option<string?> type = command.AddOption<string?>("--type", "type", "q8_0: int8 in groups (the default); f32: float32");
        Option<int?> version = command.AddOption<int?>(
            "--version", "0|1|2", "format: 0 or 1 hold f32, 2 holds q8_0; default: 0 for f32");
        Option<int?> group = command.AddOption<int?>("--group", "int",
            $"weights that share a scale; default: the largest up to {WeightQuantizer.MaxGroupSize} that divides dim and hidden_dim");
        type.AcceptOnlyFrom("q8_0", "f32");
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
        if (target == 2)
        {
            UsageException.ThrowIf(!Divides(header, size),
                $"--group {size} does not divide the tensors (dim {source.Config.Dim}, hidden_dim {source.Config.HiddenDim})");
            RefuseUselessGroups(header);
        }
        return header;
    }

    private static bool Divides(CheckpointHeader header, int size) =>
        size >= 1 && header.Tensors().All(tensor => tensor.IsFloat32 || tensor.Elements % size == 0);

    /// <summary>Refuses groups so small that their scales make the file larger than float32, and warns of those that save little.</summary>
    private static void RefuseUselessGroups(CheckpointHeader header)
    {
        long floats = (header with { Version = 1, GroupSize = 0 }).FileLength;
        if (header.FileLength <= floats * 5 / 8) // groups of 4 take half of float32, groups of 2 three quarters
            return;
        int better = Enumerable.Range(1, WeightQuantizer.MaxGroupSize).Last(size => Divides(header, size));
        long betterLength = (header with { GroupSize = better }).FileLength;
        string advice = better <= header.GroupSize ? "no group that divides the tensors does better; --type f32 keeps float32"
            : $"--group {better} makes it {betterLength:N0} (but llama2.c's runq needs a group that divides both)";
        string line = $"groups of {header.GroupSize} (dim {header.Config.Dim}, hidden_dim {header.Config.HiddenDim}) make the file "
            + $"{header.FileLength:N0} bytes, where float32 takes {floats:N0}; {advice}";
        UsageException.ThrowIf(header.FileLength >= floats, line);
        Notes.Write(line);
    }

    private static int Run(Checkpoint checkpoint, CheckpointHeader header, string path)
    {
        UsageException.ThrowIf(AtomicFile.IsSame(checkpoint.Path, path), $"{path} is the input; name another file");
        UsageException.ThrowIf(AtomicFile.IsDevice(path), $"{path} is no file that can be read again, to compare it; name another");
        using Interrupt interrupt = new();
        FiniteWeights.Check(checkpoint, interrupt.Token);
        ProgressBar.RunAsync(Visible.Of(Path.GetFileName(path)), bar => Task.Run(() => AtomicFile.Write(path, stream =>
        {
            WriteProgress reporter = new(bar, header.FileLength, interrupt.Token);
            CheckpointWriter.Write(stream, header, checkpoint.Weights, checkpoint.RopeTables(), reporter);
        }))).GetAwaiter().GetResult();

        using Checkpoint written = Checkpoint.Open(path);
        (float error, string tensor) = LargestError(checkpoint, written);
        string? tokenizer = CopyTokenizer(checkpoint, path);
        Output.WriteLine(Describe(checkpoint));
        Output.WriteLine(Describe(written));
        if (tokenizer is not null)
            Output.WriteLine(Visible.Of($"{tokenizer}: its tokenizer"));
        Output.WriteLine($"largest error: {error:G3}{(error == 0 ? "" : $" in {tensor}")}");
        (int agreeing, int steps) = GreedyAgreement(checkpoint, written, interrupt.Token);
        Output.WriteLine($"greedy agreement: {agreeing} of {steps} tokens of the story the original tells without a prompt");
        return ExitCode.Success;
    }

    private static string Describe(Checkpoint checkpoint) => Visible.Of(
        $"{checkpoint.Path}: {checkpoint.Length:N0} bytes, v{checkpoint.Header.Version}, {checkpoint.Weights.Classifier.Describe()}");

    /// <summary>Puts the model's tokenizer beside the copy, where it is found, unless the copy finds the same one anyway.</summary>
    /// <returns>Its path, or null.</returns>
    private static string? CopyTokenizer(Checkpoint checkpoint, string path)
    {
        if (ModelFiles.TokenizerBytes(checkpoint.Path, checkpoint.Config.VocabSize) is not { } bytes)
            return null;
        if (ModelFiles.TokenizerBytes(path, checkpoint.Config.VocabSize) is { } found && found.AsSpan().SequenceEqual(bytes))
            return null;
        string own = ModelFiles.OwnTokenizer(path);
        AtomicFile.Write(own, stream => stream.Write(bytes));
        return own;
    }

    /// <summary>The largest |difference| of any weight, and the tensor that has it.</summary>
    private static (float Error, string Tensor) LargestError(Checkpoint a, Checkpoint b)
    {
        (float Error, string Tensor) worst = (0, "");
        foreach ((string name, int? layer, Tensor tensor) in a.Weights.Named().Where(named => !Weights.IsVector(named.Name)))
        {
            float error = LargestError(tensor, b.Weights[name, layer ?? 0]);
            if (error > worst.Error)
                worst = (error, FiniteWeights.NameOf(name, layer));
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
                worst = MathF.Max(worst, MathF.Abs(x[i] - y[i]));
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
}
