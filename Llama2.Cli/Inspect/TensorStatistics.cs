using Llama2.Simple.Tensors;

namespace Llama2.Cli.Inspect;

/// <summary>
/// Statistics of the finite elements of a tensor, and the number of the others. Outliers are further from the mean than
/// <see cref="OutlierDeviations"/> standard deviations.
/// </summary>
internal sealed record TensorStatistics(float Min, float Max, double Mean, long Outliers, long NotFinite)
{
    /// <summary>
    /// Of normally distributed weights, two in a thousand million are as far away; an outlier costs its int8 group
    /// precision.
    /// </summary>
    public const int OutlierDeviations = 6;

    public static TensorStatistics Of(Tensor tensor)
    {
        float min = float.PositiveInfinity, max = float.NegativeInfinity;
        double sum = 0, squares = 0;
        long count = 0, outliers = 0;
        foreach (float value in Finite(tensor))
        {
            min = MathF.Min(min, value);
            max = MathF.Max(max, value);
            sum += value;
            count++;
        }
        double mean = sum / count;
        foreach (float value in Finite(tensor))
            squares += (value - mean) * (value - mean);
        double deviation = Math.Sqrt(squares / count);
        foreach (float value in Finite(tensor))
            outliers += Math.Abs(value - mean) > OutlierDeviations * deviation ? 1 : 0;
        return new TensorStatistics(min, max, mean, outliers, tensor.Elements - count);
    }

    private static IEnumerable<float> Finite(Tensor tensor)
    {
        float[] row = new float[tensor.Columns];
        for (int i = 0; i < tensor.Rows; i++)
        {
            tensor.CopyRow(i, row);
            foreach (float value in row)
            {
                if (float.IsFinite(value))
                    yield return value;
            }
        }
    }
}
