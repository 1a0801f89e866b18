using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Llama2.Tests.Properties;

/// <summary>What holds for int8 in groups, of any size and any numbers.</summary>
public sealed class Int8Properties
{
    private const float LeastNormal = 1.17549435e-38f;

    private sealed record Quantised(Palette Palette, int Length, int GroupSize, int Seed)
    {
        public static readonly Gen<Quantised> Any =
            from palette in Gen.Elements(Palettes.All)
            from length in Gen.Frequency((3, Gen.Choose(1, 40)), (1, Gen.Choose(41, 600)))
            from groupSize in Gen.Frequency((2, Gen.Choose(1, 20)), (1, Gen.Elements(16, 32, 64, 128)))
            from seed in Gen.Choose(1, 1_000_000)
            select new Quantised(palette, length, groupSize, seed);

        public IEnumerable<Quantised> Shrink() =>
        [
            .. Shrinking.Towards(1, Length).Select(x => this with { Length = x }),
            .. Shrinking.Towards(1, GroupSize).Select(x => this with { GroupSize = x }),
        ];
    }

    [Property(MaxTest = 500)]
    public FsCheck.Property Dequantised_values_are_within_half_a_scale() => Property.ForAll(Quantised.Any, x => x.Shrink(), x =>
    {
        float[] numbers = x.Palette.Numbers(new Random(x.Seed), x.Length);
        sbyte[] values = new sbyte[x.Length];
        float[] scales = new float[(x.Length + x.GroupSize - 1) / x.GroupSize];
        foreach (bool weights in new[] { true, false })
        {
            if (weights)
                Quantization.QuantizeWeights(numbers, x.GroupSize, values, scales);
            else
                Quantization.QuantizeActivations(numbers, x.GroupSize, values, scales);
            for (int i = 0; i < numbers.Length; i++)
            {
                float scale = scales[i / x.GroupSize];
                Assert.InRange(values[i], -127, 127);
                if (float.IsFinite(numbers[i]) && float.IsFinite(scale) && (scale >= LeastNormal || scale == 0))
                    Assert.InRange(Math.Abs((double)values[i] * scale - numbers[i]), 0, scale == 0 ? 127 * LeastNormal
                        : scale * (0.5 + 1e-5));
            }
            foreach (int start in Enumerable.Range(0, scales.Length).Select(group => group * x.GroupSize))
            {
                ReadOnlySpan<float> group = numbers.AsSpan(start, Math.Min(x.GroupSize, numbers.Length - start));
                float max = group.ToArray().Max(MathF.Abs);
                if (max >= 128 * LeastNormal && float.IsFinite(max)) // the greatest is +-127, so that no precision is given away
                    Assert.Equal(127, values.AsSpan(start, group.Length).ToArray().Max(value => Math.Abs((int)value)));
            }
        }
    });

    [Fact]
    public void Halves_round_to_even_for_weights_and_away_from_zero_for_activations()
    {
        float[] numbers = [127, 0.5f, -0.5f, 1.5f, -1.5f, 2.5f, -2.5f, 0.49999997f, -0.49999997f, 126.5f, 0];
        sbyte[] weights = new sbyte[numbers.Length], activations = new sbyte[numbers.Length];
        float[] scale = new float[1];
        Quantization.QuantizeWeights(numbers, numbers.Length, weights, scale);
        Assert.Equal([127, 0, 0, 2, -2, 2, -2, 0, 0, 126, 0], weights);
        Quantization.QuantizeActivations(numbers, numbers.Length, activations, scale);
        Assert.Equal([127, 1, -1, 2, -2, 3, -3, 0, 0, 127, 0], activations);
        Assert.Equal([1f], scale);
    }

    private sealed record Product(int Rows, int Columns, int GroupSize, int Seed)
    {
        public static readonly Gen<Product> Any =
            from rows in Gen.Choose(1, 9)
            from columns in Gen.Frequency((3, Gen.Choose(1, 70)), (1, Gen.Elements(64, 96, 128, 256, 512)))
            from groupSize in Gen.Elements(1, 2, 3, 4, 8, 16, 31, 32, 64)
            from seed in Gen.Choose(1, 1_000_000)
            select new Product(rows, columns, groupSize, seed);

        public IEnumerable<Product> Shrink() =>
        [
            .. Shrinking.Towards(1, Rows).Select(x => this with { Rows = x }),
            .. Shrinking.Towards(1, Columns).Select(x => this with { Columns = x }),
            .. Shrinking.Towards(1, GroupSize).Select(x => this with { GroupSize = x }),
        ];

        public int Groups => ((Rows * Columns) + GroupSize - 1) / GroupSize;
    }

    /// <summary>Scales of 1 and whole numbers: nothing may be rounded, also where groups straddle rows.</summary>
    [Property(MaxTest = 300)]
    public FsCheck.Property Dot_products_of_all_int8_values_are_exact() => Property.ForAll(Product.Any, x => x.Shrink(), x =>
    {
        Random random = new(x.Seed);
        sbyte[] weights = [.. Enumerable.Range(0, x.Rows * x.Columns)
            .Select(_ => (sbyte)(random.Next(4) == 0 ? -128 : random.Next(-128, 128)))];
        float[] input = [.. Enumerable.Range(0, x.Columns).Select(j => j % x.GroupSize == 0 ? 127f : random.Next(-127, 128))];
        float[] output = new float[x.Rows];
        new Q8GroupsTensor(x.Rows, x.Columns, x.GroupSize, weights, Enumerable.Repeat(1f, x.Groups).ToArray()).Multiply(input, output);
        for (int i = 0; i < x.Rows; i++)
            Assert.Equal(Enumerable.Range(0, x.Columns).Sum(j => weights[(i * x.Columns) + j] * (int)input[j]), output[i]);
    });

    /// <summary>|y - W x| with W and x as dequantised, in double precision: the theorem on sums of n products.</summary>
    [Property(MaxTest = 300)]
    public FsCheck.Property Products_are_those_of_the_dequantised_numbers() => Property.ForAll(Product.Any, x => x.Shrink(), x =>
    {
        Random random = new(x.Seed);
        sbyte[] weights = [.. Enumerable.Range(0, x.Rows * x.Columns).Select(_ => (sbyte)random.Next(-127, 128))];
        float[] scales = Palette.Normal.Numbers(random, x.Groups), input = Palette.Normal.Numbers(random, x.Columns), output =
            new float[x.Rows];
        Q8GroupsTensor tensor = new(x.Rows, x.Columns, x.GroupSize, weights, scales);
        tensor.Multiply(input, output);

        sbyte[] q = new sbyte[x.Columns];
        float[] s = new float[(x.Columns + x.GroupSize - 1) / x.GroupSize], row = new float[x.Columns];
        Quantization.QuantizeActivations(input, x.GroupSize, q, s);
        for (int i = 0; i < x.Rows; i++)
        {
            tensor.CopyRow(i, row);
            double[] products = [.. row.Select((w, j) => (double)w * q[j] * s[j / x.GroupSize])];
            Assert.InRange(Math.Abs(output[i] - products.Sum()), 0, (x.Columns + 3) * Math.Pow(2, -23) * products.Sum(Math.Abs));
        }
    });
}
