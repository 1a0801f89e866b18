using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Tensors;

/// <summary>
/// A product with blocks is nearer to that of the dequantised weights than ggml's, which quantises the vector to q8_0, or to q8_K for
/// blocks of 256, where 256 elements share a scale.
/// </summary>
public sealed class BlockErrorTests(ITestOutputHelper output)
{
    private const int Rows = 48, Columns = 1024, Vectors = 40;

    public static TheoryData<string> Types => [.. RandomWeights.Blocks.Select(type => type.Name)];

    /// <summary>The vector after ggml's quantisation.</summary>
    private static float[] AsGgmlHasIt(GgmlType type, float[] x)
    {
        if (type.BlockElements == 32)
        {
            GgmlType q8 = GgmlType.Find("q8_0")!;
            byte[] bytes = new byte[q8.RowBytes(x.Length)];
            BlockQuantizer.Quantize(q8, x, bytes);
            float[] quantised = new float[x.Length];
            GgmlTensor.Create(q8, 1, x.Length, bytes).CopyRow(0, quantised);
            return quantised;
        }
        return [.. x.Chunk(256).SelectMany(chunk =>
        {
            float inverse = -127 / chunk.MaxBy(MathF.Abs);
            return chunk.Select(v => Math.Min(127, MathF.Round(v * inverse)) / inverse);
        })];
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Products_are_a_hundred_times_nearer_to_those_of_the_dequantised_weights_than_ggml_s(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        Random random = new(5);
        Tensor tensor = RandomWeights.Create(random, type, Rows, Columns, size: 1);
        float[] weights = new float[Columns], xout = new float[Rows];
        double ours = 0, theirs = 0;
        for (int i = 0; i < Vectors; i++)
        {
            float[] x = Palette.Normal.Numbers(random, Columns), quantised = AsGgmlHasIt(type, x);
            tensor.Multiply(x, xout);
            for (int row = 0; row < Rows; row++)
            {
                tensor.CopyRow(row, weights);
                double exact = Dot(weights, x);
                ours += (xout[row] - exact) * (xout[row] - exact);
                theirs += (Dot(weights, quantised) - exact) * (Dot(weights, quantised) - exact);
            }
        }
        output.WriteLine($"{type}: {Math.Sqrt(ours / theirs):f3} of ggml's error");
        Assert.InRange(Math.Sqrt(ours / theirs), 0, 0.01);
    }

    private static double Dot(float[] w, float[] x) => w.Zip(x, (a, b) => (double)a * b).Sum();
}
