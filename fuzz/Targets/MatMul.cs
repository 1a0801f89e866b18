namespace Llama2.Fuzz.Targets;

/// <summary>
/// A matrix and some vectors of any sizes, alignments and values, float32 or int8: every kernel gives the bits of the
/// definition and touches nothing beside its operands; the definition is within its proven bound of Simple.
/// </summary>
internal static class MatMul
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        bool int8 = input.Bool();
        int n = input.Between(1, 300);
        Product product = new(input, maxRows: 70, n, maxTokens: 17);
        int elements = product.Rows * n, groupSize = int8 ? Divisor(elements, input.Byte()) : 1;
        Memory<sbyte> values = input.Guard<sbyte>(int8 ? elements : 0);
        Memory<float> floats = input.Guard<float>(elements / groupSize); // the scales of int8
        input.Fill(floats.Span);
        input.FillBytes(MemoryMarshal.AsBytes(values.Span)); // -128 too
        Tensor w = int8 ? new Q8GroupsTensor(product.Rows, n, groupSize, values, floats) : new Float32Tensor(product.Rows, n, floats);

        float[] expected = product.By(KernelUnderTest.Definition, w);
        product.AssertEveryKernelGives(expected, w);
        if (product.Adds)
            return;
        float[] simple = product.BySimple(w);
        for (int t = 0; t < product.Tokens; t++)
        {
            for (int i = 0; i < product.Rows; i++)
            {
                float actual = product.Row(expected, t)[i], reference = product.Row(simple, t)[i];
                double error = Math.Abs((double)reference - actual);
                double? limit = w is Q8GroupsTensor q ? Bound(q, i, product.X(t)) : Bound((Float32Tensor)w, i, product.X(t));
                if (limit is { } bound && !(error <= bound))
                    throw new BrokenPromiseException($"row {i}: {error} from Simple's {reference:R}, the bound is {bound}");
            }
        }
    }

    /// <summary>Some divisor; as group sizes, those that straddle the ends of rows are among them.</summary>
    private static int Divisor(int elements, int choice)
    {
        int[] divisors = [.. Enumerable.Range(1, Math.Min(elements, 512)).Where(size => elements % size == 0)];
        return divisors[^(1 + (choice % divisors.Length))];
    }

    /// <summary>How far an element may be from Simple's: n 2^-23 sum|w x| + n 2^-149; null where something overflows.</summary>
    private static double? Bound(Float32Tensor w, int row, ReadOnlySpan<float> x)
    {
        double sum = 0;
        for (int i = 0; i < x.Length; i++)
            sum += Math.Abs((double)w.Data.Span[(row * x.Length) + i] * x[i]);
        return sum < float.MaxValue / 2 ? (x.Length * Math.Pow(2, -23) * sum) + (x.Length * Math.Pow(2, -149)) : null;
    }

    /// <summary>
    /// The same for int8. Integers are exact, so what differs is a few roundings for each run of equal scales: at most runs + 4 of
    /// 2^-23 of the sum of magnitudes. Null where a scale is huge or loses its digits.
    /// </summary>
    private static double? Bound(Q8GroupsTensor w, int row, ReadOnlySpan<float> x)
    {
        sbyte[] q = new sbyte[x.Length];
        float[] scales = new float[(x.Length + w.GroupSize - 1) / w.GroupSize];
        Quantization.QuantizeActivations(x, w.GroupSize, q, scales);
        double sum = 0;
        for (int i = 0; i < x.Length; i++)
        {
            int element = (row * x.Length) + i;
            double ws = w.Scales.Span[element / w.GroupSize], xs = scales[i / w.GroupSize];
            if (!IsTame(ws) || !IsTame(xs))
                return null;
            sum += Math.Abs(q[i] * ws * xs * w.Values.Span[element]);
        }
        return ((2 * scales.Length) + 6) * Math.Pow(2, -23) * sum;

        static bool IsTame(double scale) => scale == 0 || Math.Abs(scale) is > 1e-12 and < 1e12;
    }
}
