using Llama2.Simple.Formats;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Models;

/// <summary>A model whose weights become int8 must be of finite numbers: another one would cost its group all others.</summary>
internal static class FiniteWeights
{
    /// <summary>Refuses a model with a NaN or an infinity.</summary>
    /// <exception cref="ModelFileException">It has one; the message says where.</exception>
    public static void Check(ModelFile model, CancellationToken cancellation)
    {
        foreach ((string name, int? layer, Tensor tensor) in model.Weights.Named())
        {
            cancellation.ThrowIfCancellationRequested();
            float[] floats = new float[tensor.Columns];
            for (int row = 0; row < tensor.Rows; row++)
            {
                tensor.CopyRow(row, floats);
                foreach ((int column, float value) in floats.Index())
                {
                    if (!float.IsFinite(value))
                    {
                        throw new ModelFileException(model.Path, NameOf(name, layer), "finite numbers",
                            $"{value} in row {row}, column {column}");
                    }
                }
            }
        }
    }

    /// <summary>A tensor in words.</summary>
    public static string NameOf(string tensor, int? layer) => layer is null ? tensor : $"{tensor}, layer {layer}";
}
