using Llama2.Simple;

namespace Llama2.Cli;

/// <summary>What the elements of a tensor are like.</summary>
/// <param name="Min">The least finite element.</param>
/// <param name="Max">The greatest finite element.</param>
/// <param name="Mean">The mean of the finite elements.</param>
/// <param name="Deviation">Their standard deviation.</param>
/// <param name="Outliers">How many are further from the mean than <see cref="OutlierDeviations"/> standard deviations.</param>
/// <param name="NotFinite">How many are infinite or not a number.</param>
internal sealed record TensorStatistics(float Min, float Max, double Mean, double Deviation, long Outliers, long NotFinite)
{
    /// <summary>Of normally distributed weights, two in a thousand million are as far away: what is, costs an int8 group its precision.</summary>
    public const int OutlierDeviations = 6;

    /// <summary>Looks at all elements, twice.</summary>
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
        return new TensorStatistics(min, max, mean, deviation, outliers, (long)tensor.Rows * tensor.Columns - count);
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
