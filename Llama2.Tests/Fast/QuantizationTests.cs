using System.Runtime.Intrinsics;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Simple;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Fast;

/// <summary>int8: quantising and products give Simple's bits, whatever the registers.</summary>
public sealed unsafe class QuantizationTests
{
    private static readonly Random Random = new(2);

    private static void AssertQuantizes<TLanes>(float[] x, int groupSize, bool halvesToEven) where TLanes : struct, ILanes<TLanes>
    {
        if (!TLanes.IsSupported)
            return;
        int groups = (int)((x.Length + (long)groupSize - 1) / groupSize);
        sbyte[] expected = new sbyte[x.Length], actual = new sbyte[x.Length];
        float[] expectedScales = new float[groups], actualScales = new float[groups];
        if (halvesToEven)
            Quantization.QuantizeWeights(x, groupSize, expected, expectedScales);
        else
            Quantization.QuantizeActivations(x, groupSize, expected, expectedScales);
        fixed (float* p = x, s = actualScales)
        fixed (sbyte* v = actual)
            Nn<TLanes>.Quantize(p, x.Length, groupSize, v, s, halvesToEven);
        Bits.AssertEqual(expectedScales, actualScales, $"{typeof(TLanes).Name} scales");
        Assert.Equal(expected, actual);
    }

    private static void AssertQuantizes(float[] x, int groupSize)
    {
        foreach (bool halvesToEven in (bool[])[false, true])
        {
            AssertQuantizes<LanesScalar>(x, groupSize, halvesToEven);
            AssertQuantizes<Lanes128>(x, groupSize, halvesToEven);
            AssertQuantizes<Lanes256>(x, groupSize, halvesToEven);
            AssertQuantizes<Lanes512>(x, groupSize, halvesToEven);
        }
    }

    [Fact]
    public void Quantising_gives_Simple_s_bits()
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= 130; n++)
                AssertQuantizes(palette.Numbers(Random, n), 1 + Random.Next(n + 3));
        }
        AssertQuantizes(Palette.Normal.Numbers(Random, 40), int.MaxValue);
    }

    [Fact]
    public void Halves_round_as_Simple_rounds_them()
    {
        float[] edges = [127, .. Enumerable.Range(-127, 254).SelectMany(i => (float[])[i + 0.5f, MathF.BitIncrement(i + 0.5f), MathF.BitDecrement(i + 0.5f)])];
        AssertQuantizes(edges, edges.Length); // a scale of 1, so every quotient is the number itself
    }

    private static void AssertMultiplies<TInt8>(Q8Tensor tensor, float[] x, int tokens) where TInt8 : struct, IInt8<TInt8>
    {
        if (!TInt8.IsSupported)
            return;
        int n = tensor.Columns, rows = tensor.Rows;
        float[] expected = new float[tokens * rows], actual = new float[tokens * rows];
        List<System.Buffers.MemoryHandle> pins = [];
        using QuantizedActivations int8 = new(n, tensor.GroupSize);
        int8.EnsureRows(tokens);
        for (int t = 0; t < tokens; t++)
        {
            tensor.Multiply(x.AsSpan(t * n, n), expected.AsSpan(t * rows, rows));
            fixed (float* p = &x[t * n])
                int8.Quantize<LanesScalar, TInt8>(t, p, n);
        }
        Matrix matrix = new(tensor, pins);
        fixed (float* o = actual, scratch = new float[MatMulInt8<TInt8>.ScratchCount(matrix)])
            MatMulInt8<TInt8>.Multiply(matrix, 0, rows, int8, 0, tokens, o, rows, add: false, scratch);
        pins.ForEach(pin => pin.Dispose());
        Bits.AssertEqual(expected, actual, $"{typeof(TInt8).Name}, {rows} x {n} in groups of {tensor.GroupSize} for {tokens} tokens");
    }

    private static void AssertMultiplies(Q8Tensor tensor, float[] x, int tokens)
    {
        AssertMultiplies<Int8Scalar>(tensor, x, tokens);
        AssertMultiplies<Int8By128>(tensor, x, tokens);
        AssertMultiplies<Int8Avx2>(tensor, x, tokens);
        AssertMultiplies<Int8Avx512>(tensor, x, tokens);
        AssertMultiplies<Int8Vnni>(tensor, x, tokens);
        AssertMultiplies<Int8Unsigned>(tensor, x, tokens);
    }

    private static Q8Tensor Tensor(int rows, int columns, int groupSize, Func<sbyte> value)
    {
        sbyte[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => value())];
        return new Q8Tensor(rows, columns, groupSize, values, Palette.Normal.Numbers(Random, rows * columns / groupSize));
    }

    [Fact]
    public void Products_give_Simple_s_bits_also_where_groups_straddle_rows()
    {
        foreach (int columns in (int[])[1, 2, 31, 32, 64, 96, 128, 172, 192, 256])
        {
            foreach (int rows in (int[])[1, 3, 4, 8, 13, 24, 40])
            {
                foreach (int groupSize in (int[])[1, 3, 4, 16, 32, 48, 64, 96, 128, rows * columns])
                {
                    if (rows * columns % groupSize != 0)
                        continue;
                    int tokens = 1 + Random.Next(20);
                    AssertMultiplies(Tensor(rows, columns, groupSize, () => (sbyte)Random.Next(-128, 128)), Palette.Normal.Numbers(Random, tokens * columns), tokens);
                }
            }
        }
    }

    [Fact]
    public void The_greatest_magnitudes_do_not_overflow_on_the_way()
    {
        float[] x = new float[12 * 4096];
        Array.Fill(x, -1f); // -127 everywhere
        AssertMultiplies(Tensor(16, 4096, 4096, () => -128), x, 12);
        AssertMultiplies(Tensor(16, 4096, 64, () => 127), x, 12);
    }

    [Fact]
    public void Weights_quantised_at_load_are_those_of_Simple()
    {
        ModelShape shape = new(0, 4, 2, 2, 64, 2, 40, 8, Shared: false, 0, Palette.Normal, 3);
        Weights weights = shape.CreateWeights();
        Weights quantized = WeightQuantizer.Quantize(weights, 16, threads: 2);
        foreach (string name in (string[])["token_embedding_table", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls"])
        {
            FloatTensor floats = Assert.IsType<FloatTensor>(weights.Matrix(name, 1));
            Q8Tensor actual = Assert.IsType<Q8Tensor>(quantized.Matrix(name, 1));
            sbyte[] values = new sbyte[floats.Data.Length];
            float[] scales = new float[values.Length / 16];
            Quantization.QuantizeWeights(floats.Data.Span, 16, values, scales);
            Assert.Equal(values, actual.Values.ToArray());
            Assert.Equal(scales, actual.Scales.ToArray());
        }
        Assert.Throws<ArgumentException>("groupSize", () => WeightQuantizer.Quantize(weights, 7));
        Assert.Throws<ArgumentException>("tensor", () => WeightQuantizer.Quantize(quantized, 16));
    }

    /// <summary>Weights that are unsigned to the product, as VNNI's are, for machines that have none.</summary>
    private struct Int8Unsigned : IInt8<Int8Unsigned>
    {
        private Int8Scalar _v;

        public static bool IsSupported => true;

        public static int Rows => Int8Scalar.Rows;

        public static int Depth => Int8Scalar.Depth;

        public static int Bias => 128;

        public static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n) => Int8Scalar.Dot(w, stride, x, n);

        public static Int8Unsigned Load(sbyte* p) => new() { _v = Int8Scalar.Load(p) };

        public static Int8Unsigned Create(int lane) => new() { _v = Int8Scalar.Create(lane) };

        public static Int8Unsigned Dot(Int8Unsigned sum, Int8Unsigned w, Int8Unsigned x)
        {
            for (int i = 0; i < Rows * Depth; i++)
                sum._v[i / Depth] += ((byte*)&w)[i] * ((sbyte*)&x)[i];
            return sum;
        }

        public static void AddScaled(float* o, Int8Unsigned dots, float* wScales, float xScale) => Int8Scalar.AddScaled(o, dots._v, wScales, xScale);
    }
}
