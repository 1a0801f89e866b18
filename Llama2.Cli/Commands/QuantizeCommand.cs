using System.CommandLine;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Converts among the three versions of llama2.c's checkpoints.</summary>
internal static class QuantizeCommand
{
    private const int LargestGroup = 64;       // export.py's
    private const int StepsToCompare = 64;

    public static void AddTo(Command command)
    {
        Argument<string> input = new("in") { Description = "checkpoint to read, or the name of a model in weights/" };
        Argument<string> output = new("out") { Description = "checkpoint to write" };
        Option<string?> type = new("--type") { Description = "q8_0: int8 in groups (the default); f32: float32", HelpName = "type" };
        Option<int?> version = new("--version") { Description = "format: 0 or 1 hold f32, 2 holds q8_0; default: 0 for f32", HelpName = "0|1|2" };
        Option<int?> group = new("--group") { Description = $"weights that share a scale; default: the largest up to {LargestGroup} that divides dim and hidden_dim", HelpName = "int" };
        type.AcceptOnlyFromAmong("q8_0", "f32");
        command.Add(input);
        command.Add(output);
        command.Add(type);
        command.Add(version);
        command.Add(group);
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
        if (target is not (0 or 1 or 2))
            throw new UsageException($"--version: expected 0, 1 or 2, found {target}");
        if (type == "f32" != target < 2)
            throw new UsageException($"--version {target} does not hold {type}");
        if (target < 2 && group is not null)
            throw new UsageException("--group: f32 has no groups");
        int size = target < 2 ? 0 : group ?? GroupSize(source.Config);
        CheckpointHeader header = source with { Version = target, GroupSize = size };
        if (target == 2 && (size < 1 || header.Tensors().Any(tensor => tensor.GroupSize > 0 && tensor.Elements % size != 0)))
            throw new UsageException($"--group {size} does not divide the tensors (dim {source.Config.Dim}, hidden_dim {source.Config.HiddenDim})");
        return header;
    }

    /// <summary>The largest group size, up to export.py's, that divides the rows of every matrix.</summary>
    internal static int GroupSize(Config config) => Enumerable.Range(1, LargestGroup).Last(g => config.Dim % g == 0 && config.HiddenDim % g == 0);

    private static int Run(Checkpoint checkpoint, CheckpointHeader header, string path)
    {
        if (AtomicFile.IsSame(checkpoint.Path, path))
            throw new UsageException($"{path} is the input; name another file");
        using Interrupt interrupt = new();
        ProgressBar.RunAsync(Path.GetFileName(path), bar => Task.Run(() => AtomicFile.Write(path, stream =>
            CheckpointWriter.Write(stream, header, checkpoint.Weights, new Reporter(bar, header.FileLength, interrupt.Token))))).GetAwaiter().GetResult();

        using Checkpoint written = Checkpoint.Open(path);
        (float error, string tensor) = LargestError(checkpoint, written);
        Output.WriteLine($"{checkpoint.Path}: {checkpoint.Length:N0} bytes, {Format(checkpoint.Header)}");
        Output.WriteLine($"{path}: {written.Length:N0} bytes, {Format(written.Header)}");
        Output.WriteLine($"largest error: {error:G3}{(error == 0 ? "" : $" in {tensor}")}");
        (int agreeing, int steps) = GreedyAgreement(checkpoint, written, interrupt.Token);
        Output.WriteLine($"greedy agreement: {agreeing} of {steps} tokens of the story the original tells without a prompt");
        return Program.Success;
    }

    private static string Format(CheckpointHeader header) => header.Version == 2 ? $"v2, q8_0 in groups of {header.GroupSize}" : $"v{header.Version}, f32";

    /// <summary>The largest |difference| of any weight, and where it is.</summary>
    private static (float Error, string Tensor) LargestError(Checkpoint a, Checkpoint b)
    {
        (float Error, string Tensor) worst = (0, "");
        foreach (TensorSpec spec in a.Header.Tensors())
        {
            for (int layer = 0; layer < spec.Count; layer++)
            {
                if (a.Weights.Matrix(spec.Name, layer) is { } first && b.Weights.Matrix(spec.Name, layer) is { } second
                    && LargestError(first, second) is var error && !(error <= worst.Error))
                    worst = (error, spec.Count == 1 ? spec.Name : $"{spec.Name}, layer {layer}");
            }
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
        int steps = Math.Min(StepsToCompare, original.Config.SeqLen), agreeing = 0;
        using ITransformer a = Implementations.Create(Implementations.Default, original.Config, original.Weights),
            b = Implementations.Create(Implementations.Default, copy.Config, copy.Weights);
        Session first = new(a, Greedy()), second = new(b, Greedy());
        int token = Math.Min(Tokenizer.Bos, original.Config.VocabSize - 1);
        for (int step = 0; step < steps; step++)
        {
            first.Feed([token], cancellation);
            second.Feed([token], cancellation);
            token = first.Sample();
            agreeing += second.Sample() == token ? 1 : 0;
        }
        return (agreeing, steps);

        Sampler Greedy() => new(original.Config.VocabSize, temperature: 0, topp: 0, seed: 1);
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
