using System.Buffers;
using System.Runtime.Intrinsics;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Fast;

/// <summary>int8: quantising and products give Simple's bits with every kernel.</summary>
public sealed unsafe class QuantizationTests
{
    private static readonly Random Random = new(2);

    private static IEnumerable<Kernel> Kernels => [.. Kernel.Available, new Kernel<LanesScalar, Int8Unsigned, ScalarBlocks>("unsigned")];

    private static void AssertQuantizes(float[] x, int groupSize)
    {
        foreach (Kernel kernel in Kernels)
        {
            AssertQuantizes(kernel, x, groupSize, halvesToEven: false);
            AssertQuantizes(kernel, x, groupSize, halvesToEven: true);
        }
    }

    private static void AssertQuantizes(Kernel kernel, float[] x, int groupSize, bool halvesToEven)
    {
        int groups = (int)((x.Length + (long)groupSize - 1) / groupSize);
        sbyte[] expected = new sbyte[x.Length], actual = new sbyte[x.Length];
        float[] expectedScales = new float[groups], actualScales = new float[groups];
        if (halvesToEven)
            Quantization.QuantizeWeights(x, groupSize, expected, expectedScales);
        else
            Quantization.QuantizeActivations(x, groupSize, expected, expectedScales);
        fixed (float* p = x, s = actualScales)
        fixed (sbyte* v = actual)
            kernel.Quantize(p, x.Length, groupSize, v, s, halvesToEven);
        Bits.AssertEqual(expectedScales, actualScales, $"{kernel.Name} scales");
        Assert.Equal(expected, actual);
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

    private static void AssertQuantizesTo15Bits(float[] x)
    {
        short[] values = new short[x.Length];
        float[] scales = new float[x.Length / BlockUnit.GroupSize];
        Quantization.QuantizeTo15Bits(x, BlockUnit.GroupSize, values, scales);
        foreach (Kernel kernel in Kernels)
        {
            using BlockActivations blocks = new(x.Length);
            blocks.EnsureRows(2);
            fixed (float* p = x)
                kernel.Quantize(p, blocks, 1);
            for (int j = 0; j < blocks.RowUnits * BlockUnit.Length; j++)
            {
                BlockUnit* unit = blocks.Row(1) + j / BlockUnit.Length;
                int i = j % BlockUnit.Length, group = i / BlockUnit.GroupSize, value = j < x.Length ? values[j] : 0;
                Assert.Equal(value, unit->Values[i]);
                Assert.Equal(value, unit->High[i] * BlockUnit.HighDigit + unit->Low[i]);
                Assert.InRange(unit->Low[i], -BlockUnit.HighDigit / 2, BlockUnit.HighDigit / 2);
                if (i % BlockUnit.GroupSize == 0)
                {
                    int sum = j < x.Length ? values.Skip(j).Take(BlockUnit.GroupSize).Sum(v => v) : 0;
                    int part = group / 4 * BlockUnit.Groups + group % 4;
                    Assert.Equal(j < x.Length ? scales[j / BlockUnit.GroupSize] : 0, unit->Scales[group]);
                    Assert.Equal(sum, unit->Sums[group]);
                    Assert.Equal(sum, unit->Parts[part] + unit->Parts[part + 4]);
                    Assert.Equal(j < x.Length ? values.Skip(j).Take(BlockUnit.PartSize).Sum(v => v) : 0, unit->Parts[part]);
                }
            }
        }
    }

    [Fact]
    public void Activations_of_blocks_have_Simple_s_bits_in_two_digits()
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = BlockUnit.GroupSize; n <= 3 * BlockUnit.Length; n += BlockUnit.GroupSize)
                AssertQuantizesTo15Bits(palette.Numbers(Random, n));
        }
        float[] edges = [.. Enumerable.Range(-8, 17).SelectMany(i => (float[])[i + 0.5f, 64 * i, 64 * i + 0.5f, 128 * i - 0.5f, 2000 * i])];
        foreach (float[] part in edges.Chunk(BlockUnit.GroupSize - 1))
            AssertQuantizesTo15Bits([BlockUnit.MaxValue, .. part, .. new float[BlockUnit.GroupSize - 1 - part.Length]]); // a scale of 1
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_copy_to_draft_with_is_int8_but_for_the_embedding_table_and_as_large_as_said(bool shared)
    {
        ModelShape shape = ModelShape.Tiny with { HalfHead = 8, Hidden = 48, Vocab = 12, Shared = shared };
        Weights weights = shape.CreateWeights(), copy = WeightQuantizer.CopyForDrafts(weights, 16);
        Assert.Same(weights.TokenEmbedding, copy.TokenEmbedding);
        Weights int8 = WeightQuantizer.Quantize(weights, 16);
        long bytes = 0;
        foreach ((string name, int? layer, Tensor own) in copy.Named())
        {
            if (own is not Q8GroupsTensor matrix)
                continue;
            bytes += matrix.Bytes;
            Assert.Equal(((Q8GroupsTensor)int8[name, layer ?? 0]).Values.ToArray(), matrix.Values.ToArray());
        }
        Assert.Equal(WeightQuantizer.CopyBytes(shape.Config, 16), bytes);
    }

    [Theory]
    [InlineData("q4_0", true)]
    [InlineData("q4_0", false)]
    [InlineData("q8_0", false)]
    public void A_copy_to_draft_with_may_be_of_ggml_s_blocks(string name, bool shared)
    {
        GgmlType type = GgmlType.Find(name)!;
        ModelShape shape = ModelShape.Tiny with { HalfHead = 16, Hidden = 48, Vocab = 12, Shared = shared };
        Weights weights = shape.CreateWeights(), copy = WeightQuantizer.CopyForDrafts(weights, type, threads: 2);
        Assert.Same(weights.TokenEmbedding, copy.TokenEmbedding);
        Assert.Same(weights.Layers[0].W2, copy.Layers[0].W2); // rows of 48
        long bytes = 0;
        foreach ((string tensor, int? layer, Tensor own) in copy.Named())
        {
            if (own is not GgmlTensor blocks)
                continue;
            bytes += own.Bytes;
            Assert.Equal(type, blocks.Type);
            float[] floats = new float[own.Columns];
            byte[] expected = new byte[blocks.RowBytes];
            for (int row = 0; row < own.Rows; row++)
            {
                weights[tensor, layer ?? 0].CopyRow(row, floats);
                BlockQuantizer.Quantize(type, floats, expected);
                Assert.Equal(expected, blocks.Row(row).ToArray());
            }
        }
        Assert.Equal(WeightQuantizer.CopyBytes(weights, type), bytes);
        Assert.True(bytes > 0);
    }

    [Fact]
    public void Halves_round_as_Simple_rounds_them()
    {
        float[] edges = [127, .. Enumerable.Range(-127, 254)
            .SelectMany(i => (float[])[i + 0.5f, MathF.BitIncrement(i + 0.5f), MathF.BitDecrement(i + 0.5f)])];
        AssertQuantizes(edges, edges.Length); // a scale of 1, so every quotient is the number itself
    }

    private static void AssertMultiplies(Q8GroupsTensor tensor, float[] x, int tokens)
    {
        int n = tensor.Columns, rows = tensor.Rows;
        float[] expected = new float[tokens * rows], actual = new float[tokens * rows];
        for (int t = 0; t < tokens; t++)
            tensor.Multiply(x.AsSpan(t * n, n), expected.AsSpan(t * rows, rows));
        List<MemoryHandle> pins = [];
        Matrix matrix = new(tensor, pins);
        foreach (Kernel kernel in Kernels)
        {
            using QuantizedActivations int8 = new(n, tensor.GroupSize);
            using NativeBuffer<float> scratch = new();
            int8.EnsureRows(tokens);
            fixed (float* p = x, o = actual)
            {
                for (int t = 0; t < tokens; t++)
                    kernel.Quantize(p + t * n, n, int8, t);
                kernel.Multiply(matrix, 0, rows, new Inputs(null, 0, int8, 0, tokens), o, rows, add: false, scratch);
            }
            Bits.AssertEqual(expected, actual, $"{kernel.Name}, {rows} x {n} in groups of {tensor.GroupSize} for {tokens} tokens");
        }
        pins.ForEach(pin => pin.Dispose());
    }

    private static Q8GroupsTensor Tensor(int rows, int columns, int groupSize, Func<sbyte> value)
    {
        sbyte[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => value())];
        return new Q8GroupsTensor(rows, columns, groupSize, values, Palette.Normal.Numbers(Random, rows * columns / groupSize));
    }

    [Fact]
    public void Products_give_Simple_s_bits_also_where_groups_straddle_rows()
    {
        foreach (int columns in (int[])[1, 2, 31, 32, 64, 96, 128, 172, 192, 256])
        {
            foreach (int rows in (int[])[1, 3, 4, 8, 13, 24, 40, 70])
            {
                foreach (int groupSize in (int[])[1, 3, 4, 16, 32, 48, 64, 96, 128, rows * columns])
                {
                    if (rows * columns % groupSize != 0)
                        continue;
                    int tokens = 1 + Random.Next(17);
                    AssertMultiplies(Tensor(rows, columns, groupSize, () => (sbyte)Random.Next(-128, 128)),
                        Palette.Normal.Numbers(Random, tokens * columns), tokens);
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
        foreach (int tokens in (int[])[1, 4, 8, 12])
        {
            foreach (sbyte weight in (sbyte[])[-128, 127])
            {
                foreach (int groupSize in (int[])[64, 256, 512]) // 256 is the largest whose sums are scaled as floats of known exponent
                    AssertMultiplies(Tensor(16, 4096, groupSize, () => weight), x[..(tokens * 4096)], tokens);
            }
        }
    }

    [Fact]
    public void Weights_quantised_at_load_are_those_of_Simple()
    {
        ModelShape shape = new(0, 4, 2, 2, 64, 2, 40, 8, Shared: false, 0, Palette.Normal, 3);
        Weights weights = shape.CreateWeights();
        Weights quantized = WeightQuantizer.Quantize(weights, 16, threads: 2);
        foreach ((Tensor before, Tensor after) in Matrices(weights).Zip(Matrices(quantized)))
        {
            Float32Tensor floats = Assert.IsType<Float32Tensor>(before);
            Q8GroupsTensor actual = Assert.IsType<Q8GroupsTensor>(after);
            sbyte[] values = new sbyte[floats.Data.Length];
            float[] scales = new float[values.Length / 16];
            Quantization.QuantizeWeights(floats.Data.Span, 16, values, scales);
            Assert.Equal(values, actual.Values.ToArray());
            Assert.Equal(scales, actual.Scales.ToArray());
        }
        Assert.Throws<ArgumentException>("groupSize", () => WeightQuantizer.Quantize(weights, 7));
        Assert.Throws<ArgumentException>("tensor", () => WeightQuantizer.Quantize(quantized, 16));
        foreach (float value in (float[])[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
        {
            Weights wrong = weights.Map(tensor =>
            {
                float[] floats = ((Float32Tensor)tensor).Data.ToArray();
                floats[^1] = value;
                return new Float32Tensor(tensor.Rows, tensor.Columns, floats);
            });
            Assert.Throws<NotFiniteNumberException>(() => WeightQuantizer.Quantize(wrong, 16, threads: 2));
        }
    }

    private static Tensor[] Matrices(Weights w) =>
        [w.TokenEmbedding, w.Classifier, .. w.Layers.SelectMany(l => (Tensor[])[l.Wq, l.Wk, l.Wv, l.Wo, l.W1, l.W2, l.W3])];

    /// <summary>A product that reads weights as unsigned bytes, as VNNI's does, for machines without VNNI.</summary>
    private struct Int8Unsigned : IInt8<Int8Unsigned>
    {
        private Int8Scalar _v;

        public static bool IsSupported => true;

        public static int Lanes => Int8Scalar.Lanes;

        public static int Depth => Int8Scalar.Depth;

        public static int Bias => 128;

        public static Int8Unsigned Load(sbyte* p) => new() { _v = Int8Scalar.Load(p) };

        public static Int8Unsigned LoadSixteen(sbyte* p) => Load(p);

        public static Int8Unsigned AddBias(Int8Unsigned w)
        {
            for (int i = 0; i < Lanes; i++)
                w._v[i] ^= unchecked((int)0x80808080);
            return w;
        }

        public static Int8Unsigned operator +(Int8Unsigned a, Int8Unsigned b) => new() { _v = a._v + b._v };

        public static bool CanTransposeRows => true;

        public static void LoadRows(
            sbyte* p, nint apart, out Int8Unsigned a, out Int8Unsigned b, out Int8Unsigned c, out Int8Unsigned d)
        {
            (a, b, c, d) = (default, default, default, default);
            Int8Scalar.LoadRows(p, apart, out a._v, out b._v, out c._v, out d._v);
            (a, b, c, d) = (AddBias(a), AddBias(b), AddBias(c), AddBias(d));
        }

        public static Int8Unsigned Create(int lane) => new() { _v = Int8Scalar.Create(lane) };

        public static Int8Unsigned Dot(Int8Unsigned sum, Int8Unsigned w, Int8Unsigned x)
        {
            for (int i = 0; i < Lanes * Depth; i++)
                sum._v[i / Depth] += ((byte*)&w)[i] * ((sbyte*)&x)[i];
            return sum;
        }

        public static Vector128<int> Sum(Int8Unsigned a, Int8Unsigned b, Int8Unsigned c, Int8Unsigned d) =>
            Int8Scalar.Sum(a._v, b._v, c._v, d._v);

        public static void AddScaled(float* o, Int8Unsigned dots, float* wScales, float xScale) =>
            Int8Scalar.AddScaled(o, dots._v, wScales, xScale);
    }
}
