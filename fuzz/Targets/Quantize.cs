namespace Llama2.Fuzz.Targets;

/// <summary>
/// A row of any length, group size, alignment and values: every kernel quantises it to Simple's bits and touches nothing
/// beside its operands; what comes back is within half a step.
/// </summary>
internal static unsafe class Quantize
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        int n = input.Between(1, 400), groupSize = input.Bool() ? 1 << input.Between(0, 9) : input.Between(1, 500);
        Span<float> x = input.Guard<float>(n).Span;
        input.Fill(x);
        int groups = (n + groupSize - 1) / groupSize;
        sbyte[] values = new sbyte[n];
        float[] scales = new float[groups];
        bool halvesToEven = input.Bool(); // as weights are
        if (halvesToEven)
            Quantization.QuantizeWeights(x, groupSize, values, scales);
        else
            Quantization.QuantizeActivations(x, groupSize, values, scales);

        foreach (Kernel kernel in Kernel.Available)
        {
            using GuardedMemory<sbyte> v = new(n);
            using GuardedMemory<float> s = new(groups);
            fixed (float* xs = x, ss = s.GetSpan())
            fixed (sbyte* vs = v.GetSpan())
                kernel.Quantize(xs, n, groupSize, vs, ss, halvesToEven);
            KernelUnderTest.AssertSameBits(scales, s.GetSpan(), kernel.Name);
            if (!v.GetSpan().SequenceEqual(values))
                throw new BrokenPromiseException(
                    $"{kernel.Name}: {string.Join(' ', v.GetSpan().ToArray())} instead of {string.Join(' ', values)}");
        }
        for (int i = 0; i < n; i++)
        {
            double scale = scales[i / groupSize], error = Math.Abs(x[i] - (values[i] * scale));
            if (scale is > 1e-35 and < 1e35 && float.IsFinite(x[i]) && error > scale * (0.5 + 1e-5))
                throw new BrokenPromiseException($"element {i}, {x[i]:R}, is {error / scale} steps off");
        }
    }
}
