namespace Llama2.Fuzz.Targets;

/// <summary>
/// A matrix and some vectors of any sizes, alignments and values, float32 or int8: every kernel gives the bits of the
/// definition and touches nothing beside its operands; the definition is within its proven bound of Simple.
/// </summary>
internal static unsafe class MatMul
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        int rows = input.Between(1, 70), n = input.Between(1, 300), tokens = input.Between(1, 17), beyond = input.Between(0, 2);
        int kind = input.Byte();
        bool int8 = (kind & 1) != 0, add = (kind & 2) != 0;
        using GuardedMemory<float> x = new(tokens * n, beforeEnd: (kind & 4) != 0 ? -1 : 4 * input.Between(0, 15));
        input.Fill(x.GetSpan());
        using GuardedMemory<float> before = new(((tokens - 1) * (rows + beyond)) + rows);
        input.Fill(before.GetSpan());
        using Operand w = int8 ? Operand.Int8(ref input, rows, n) : Operand.Float(ref input, rows, n);

        float[] expected = Multiply(w, KernelUnderTest.Definition, x, tokens, before, rows + beyond, add);
        foreach (Kernel kernel in Kernel.Available)
            kernel.MustGive(expected, Multiply(w, kernel, x, tokens, before, rows + beyond, add));
        if (add)
            return;
        float[] simple = new float[rows];
        for (int t = 0; t < tokens; t++)
        {
            ReadOnlySpan<float> xt = x.GetSpan().Slice(t * n, n);
            w.Tensor.Multiply(xt, simple);
            for (int i = 0; i < rows; i++)
            {
                double error = Math.Abs((double)simple[i] - expected[(t * (rows + beyond)) + i]);
                double? limit = w.Tensor is Q8GroupsTensor q ? Bound(q, i, xt) : Bound((Float32Tensor)w.Tensor, i, xt);
                if (limit is { } bound && !(error <= bound))
                    throw new BrokenPromiseException($"row {i}: {error} from Simple's {simple[i]:R}, the bound is {bound}");
            }
        }
    }

    private static float[] Multiply(Operand w, Kernel kernel, GuardedMemory<float> x, int tokens, GuardedMemory<float> before, int stride,
        bool add)
    {
        using GuardedMemory<float> o = new(before.GetSpan());
        fixed (float* xs = x.GetSpan(), os = o.GetSpan())
            kernel.Multiply(w.Tensor, xs, tokens, os, stride, add);
        return o.GetSpan().ToArray();
    }

    /// <summary>A matrix and the guarded memory in which it lies.</summary>
    private sealed class Operand(Tensor tensor, params IDisposable[] memory) : IDisposable
    {
        public Tensor Tensor { get; } = tensor;

        public static Operand Float(ref FuzzInput input, int rows, int n)
        {
            GuardedMemory<float> data = new(rows * n, beforeEnd: 4 * input.Between(-1, 15));
            input.Fill(data.GetSpan());
            return new Operand(new Float32Tensor(rows, n, data.Memory), data);
        }

        public static Operand Int8(ref FuzzInput input, int rows, int n)
        {
            // some divisor; those that straddle the ends of rows are among them
            int[] divisors = [.. Enumerable.Range(1, Math.Min(rows * n, 512)).Where(size => rows * n % size == 0)];
            int groupSize = divisors[^(1 + (input.Byte() % divisors.Length))];
            GuardedMemory<sbyte> values = new(rows * n, input.Between(-1, 40));
            GuardedMemory<float> scales = new(rows * n / groupSize, input.Between(0, 7));
            input.Fill(scales.GetSpan());
            ReadOnlySpan<byte> bytes = input.Rest;
            for (int i = 0; i < rows * n; i++) // -128 too
                values.GetSpan()[i] = (sbyte)(bytes.IsEmpty ? i * 59 : bytes[i % bytes.Length] + (i / bytes.Length));
            return new Operand(new Q8GroupsTensor(rows, n, groupSize, values.Memory, scales.Memory), values, scales);
        }

        public void Dispose() => Array.ForEach(memory, part => part.Dispose());
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

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-decode", [3, 20, 0, 0, 0, 0, 5, 1, 3, 9, 27, 81]),
        new("seed-prefill", [8, 64, 0, 12, 1, 0, 3, 200, 3, 9, 27, 81]),
        new("seed-int8", [7, 63, 0, 2, 0, 1, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128]),
        new("seed-int8-straddling", [2, 11, 0, 2, 0, 1, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128]),
    ];
}
