namespace Llama2.Tests.Shared;

/// <summary>The float32 weights that int8 ones stand for.</summary>
internal static class Dequantised
{
    public static Weights Of(Weights weights) => weights.Map(Of);

    private static Float32Tensor Of(Tensor tensor)
    {
        float[] floats = new float[tensor.Elements];
        for (int row = 0; row < tensor.Rows; row++)
            tensor.CopyRow(row, floats.AsSpan(row * tensor.Columns, tensor.Columns));
        return new Float32Tensor(tensor.Rows, tensor.Columns, floats);
    }
}
