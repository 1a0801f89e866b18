using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Tensors;

/// <summary>Activations in 15 bits: what blocks meet.</summary>
public sealed class QuantizationTests
{
    private static (short[] Values, float[] Scales) Quantized(float[] x)
    {
        short[] values = new short[x.Length];
        float[] scales = new float[x.Length / 4];
        Quantization.QuantizeTo15Bits(x, 4, values, scales);
        return (values, scales);
    }

    [Fact]
    public void Each_value_is_within_half_a_step_and_the_largest_of_a_group_is_16256()
    {
        float[] x = Palette.Normal.Numbers(new Random(4), 400);
        (short[] values, float[] scales) = Quantized(x);
        for (int i = 0; i < x.Length; i++)
            Assert.InRange(Math.Abs(x[i] - (double)values[i] * scales[i / 4]), 0, 0.501 * scales[i / 4]);
        Assert.All(values.Chunk(4), group => Assert.Equal(16256, group.Max(value => Math.Abs((int)value))));
    }

    [Fact]
    public void Halves_round_to_even_and_zeros_and_what_is_no_number_become_0()
    {
        (short[] values, float[] scales) = Quantized(
        [
            16256, 0.5f, 1.5f, -2.5f, 0, 0, -0f, 0, 1, float.NaN, -1, 0, float.PositiveInfinity, 1, float.NegativeInfinity, float.MaxValue,
            -float.Epsilon, 0, float.Epsilon, 0,
        ]);
        Assert.Equal([16256, 0, 2, -2, 0, 0, 0, 0, 16256, 0, -16256, 0, 0, 0, 0, 0, -16256, 0, 16256, 0], values);
        Assert.Equal([1, 0, 1f / 16256, float.PositiveInfinity, 0], scales);
    }
}
