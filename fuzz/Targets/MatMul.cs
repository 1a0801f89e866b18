using Llama2.Fast.Kernels;
using Llama2.Simple;
using Llama2.Simple.Tensors;

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
        int rows = input.Between(1, 24), n = input.Between(1, 300), tokens = input.Between(1, 14), beyond = input.Between(0, 2);
        int kind = input.Byte();
        bool int8 = (kind & 1) != 0, add = (kind & 2) != 0;
        using GuardedMemory<float> x = new(tokens * n, beforeEnd: (kind & 4) != 0 ? -1 : 4 * input.Between(0, 15));
        input.Fill(x.GetSpan());
        using GuardedMemory<float> before = new(((tokens - 1) * (rows + beyond)) + rows);
        input.Fill(before.GetSpan());
        using OperandW w = int8 ? new Q8W(ref input, rows, n) : new FloatW(ref input, rows, n);

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
                if (w.Bound(i, xt) is { } bound && !(error <= bound))
                    throw new BrokenPromiseException($"row {i}: {error} from Simple's {simple[i]:R}, the bound is {bound}");
            }
        }
    }

    private static float[] Multiply(OperandW w, Kernel kernel, GuardedMemory<float> x, int tokens, GuardedMemory<float> before, int stride,
        bool add)
    {
        using GuardedMemory<float> o = new(before.GetSpan());
        fixed (float* xs = x.GetSpan(), os = o.GetSpan())
            kernel.Multiply(w.Tensor, xs, tokens, os, stride, add);
        return o.GetSpan().ToArray();
    }

    private abstract class OperandW(Tensor tensor) : IDisposable
    {
        public Tensor Tensor { get; } = tensor;

        /// <summary>How far an element may be from Simple's; null where something overflows or loses all its digits.</summary>
        public abstract double? Bound(int row, ReadOnlySpan<float> x);

        public abstract void Dispose();
    }

    private sealed class FloatW : OperandW
    {
        private readonly GuardedMemory<float> _data;

        public FloatW(ref FuzzInput input, int rows, int n)
            : this(new GuardedMemory<float>(rows * n, beforeEnd: 4 * input.Between(-1, 15)), rows, n) =>
            input.Fill(_data.GetSpan());

        private FloatW(GuardedMemory<float> data, int rows, int n) : base(new Float32Tensor(rows, n, data.Memory)) => _data = data;

        /// <summary>n 2^-23 sum|w x| + n 2^-149.</summary>
        public override double? Bound(int row, ReadOnlySpan<float> x)
        {
            ReadOnlySpan<float> w = _data.GetSpan().Slice(row * x.Length, x.Length);
            double sum = 0;
            for (int i = 0; i < x.Length; i++)
                sum += Math.Abs((double)w[i] * x[i]);
            return sum < float.MaxValue / 2 ? (x.Length * Math.Pow(2, -23) * sum) + (x.Length * Math.Pow(2, -149)) : null;
        }

        public override void Dispose() => ((IDisposable)_data).Dispose();
    }

    private sealed class Q8W : OperandW
    {
        private readonly GuardedMemory<sbyte> _values;
        private readonly GuardedMemory<float> _scales;

        public Q8W(ref FuzzInput input, int rows, int n) : this(ref input, rows, n, GroupSize(rows * n, input.Byte()))
        {
        }

        private Q8W(ref FuzzInput input, int rows, int n, int groupSize)
            : this(new GuardedMemory<sbyte>(rows * n, input.Between(-1, 40)),
                new GuardedMemory<float>(rows * n / groupSize, input.Between(0, 7)), rows, n, groupSize)
        {
            input.Fill(_scales.GetSpan());
            ReadOnlySpan<byte> bytes = input.Rest;
            for (int i = 0; i < _values.GetSpan().Length; i++) // -128 too
                _values.GetSpan()[i] = (sbyte)(bytes.IsEmpty ? i * 59 : bytes[i % bytes.Length] + (i / bytes.Length));
        }

        private Q8W(GuardedMemory<sbyte> values, GuardedMemory<float> scales, int rows, int n, int groupSize)
            : base(new Q8GroupsTensor(rows, n, groupSize, values.Memory, scales.Memory)) => (_values, _scales) = (values, scales);

        // some divisor; those that straddle the ends of rows are among them
        private static int GroupSize(int elements, int choice)
        {
            int[] divisors = [.. Enumerable.Range(1, Math.Min(elements, 512)).Where(size => elements % size == 0)];
            return divisors[^(1 + (choice % divisors.Length))];
        }

        /// <summary>
        /// Integers are exact, so what differs is a few roundings for each run of equal scales: at most runs + 4 of
        /// 2^-23 of the sum of magnitudes.
        /// </summary>
        public override double? Bound(int row, ReadOnlySpan<float> x)
        {
            Q8GroupsTensor w = (Q8GroupsTensor)Tensor;
            sbyte[] q = new sbyte[x.Length];
            float[] scales = new float[(x.Length + w.GroupSize - 1) / w.GroupSize];
            Quantization.QuantizeActivations(x, w.GroupSize, q, scales);
            double sum = 0;
            for (int i = 0; i < x.Length; i++)
            {
                int element = (row * x.Length) + i;
                double ws = _scales.GetSpan()[element / w.GroupSize], xs = scales[i / w.GroupSize];
                if (!IsTame(ws) || !IsTame(xs))
                    return null;
                sum += Math.Abs(q[i] * ws * xs * _values.GetSpan()[element]);
            }
            return ((2 * scales.Length) + 6) * Math.Pow(2, -23) * sum;
        }

        private static bool IsTame(double scale) => scale == 0 || Math.Abs(scale) is > 1e-12 and < 1e12;

        public override void Dispose()
        {
            ((IDisposable)_values).Dispose();
            ((IDisposable)_scales).Dispose();
        }
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-decode", [3, 20, 0, 0, 0, 0, 5, 1, 3, 9, 27, 81]),
        new("seed-prefill", [8, 64, 0, 12, 1, 0, 3, 200, 3, 9, 27, 81]),
        new("seed-int8", [7, 63, 0, 2, 0, 1, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128]),
        new("seed-int8-straddling", [2, 11, 0, 2, 0, 1, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 128]),
    ];
}
