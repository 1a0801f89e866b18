using Llama2.Cli.Generate;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Models;

/// <summary>How far a copy of a model in another type is from the original.</summary>
internal static class CopyAccuracy
{
    private const int StepsToCompare = 64;

    /// <summary>The largest |difference| of any weight, and the tensor that has it.</summary>
    public static (float Error, string Tensor) Largest(Weights a, Weights b, CancellationToken cancellation)
    {
        (float Error, string Tensor) worst = (0, "");
        foreach ((string name, int? layer, Tensor tensor) in a.Named().Where(named => !Weights.IsVector(named.Name)))
        {
            float error = MathF.Max(worst.Error, Largest(tensor, b[name, layer ?? 0], cancellation)); // NaN where either is
            if (!error.Equals(worst.Error))
                worst = (error, FiniteWeights.NameOf(name, layer));
        }
        return worst;
    }

    private static float Largest(Tensor a, Tensor b, CancellationToken cancellation)
    {
        float[] x = new float[a.Columns], y = new float[a.Columns];
        float worst = 0;
        for (int row = 0; row < a.Rows; row++)
        {
            cancellation.ThrowIfCancellationRequested();
            a.CopyRow(row, x);
            b.CopyRow(row, y);
            for (int i = 0; i < x.Length; i++)
                worst = MathF.Max(worst, MathF.Abs(x[i] - y[i]));
        }
        return worst;
    }

    /// <summary>How often the copy would choose the token that the original chooses, along the original's greedy text.</summary>
    public static (int Agreeing, int Steps) GreedyAgreement(ModelFile original, ModelFile copy, CancellationToken cancellation)
    {
        using FastTransformer a = new(original.Config, original.Weights), b = new(copy.Config, copy.Weights);
        int[] tokens = GreedyText.Of(a, Math.Min(StepsToCompare, original.Config.SeqLen), cancellation);
        KvCache cache = new(copy.Config);
        float[] choices = new float[tokens.Length - 1];
        b.Forward([.. tokens[..^1].Select(token => new Row(token, cache, Want.Token))], choices);
        return (choices.Zip(tokens[1..]).Count(pair => pair.First == pair.Second), choices.Length);
    }
}
