namespace Llama2.Fuzz.Targets;

/// <summary>
/// A row of any length, group size, alignment and values: every kernel quantises it to Simple's bits and touches nothing
/// beside its operands; what comes back is within half a step.
/// </summary>
internal static unsafe class Quantize
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        int n = input.Between(1, 400), groupSize = input.Bool() ? 1 << input.Between(0, 9) : input.Between(1, 500);
        using GuardedMemory<float> x = new(n, beforeEnd: 4 * input.Between(-1, 15));
        input.Fill(x.GetSpan());
        int groups = (n + groupSize - 1) / groupSize;
        sbyte[] values = new sbyte[n];
        float[] scales = new float[groups];
        bool halvesToEven = input.Bool(); // as weights are
        if (halvesToEven)
            Quantization.QuantizeWeights(x.GetSpan(), groupSize, values, scales);
        else
            Quantization.QuantizeActivations(x.GetSpan(), groupSize, values, scales);

        foreach (Kernel kernel in Kernel.Available)
        {
            using GuardedMemory<sbyte> v = new(n);
            using GuardedMemory<float> s = new(groups);
            fixed (float* xs = x.GetSpan(), ss = s.GetSpan())
            fixed (sbyte* vs = v.GetSpan())
                kernel.Quantize(xs, n, groupSize, vs, ss, halvesToEven);
            kernel.MustGive(scales, s.GetSpan());
            if (!v.GetSpan().SequenceEqual(values))
                throw new BrokenPromiseException(
                    $"{kernel.Name}: {string.Join(' ', v.GetSpan().ToArray())} instead of {string.Join(' ', values)}");
        }
        for (int i = 0; i < n; i++)
        {
            double scale = scales[i / groupSize], error = Math.Abs(x.GetSpan()[i] - (values[i] * scale));
            if (scale is > 1e-35 and < 1e35 && float.IsFinite(x.GetSpan()[i]) && error > scale * (0.5 + 1e-5))
                throw new BrokenPromiseException($"element {i}, {x.GetSpan()[i]:R}, is {error / scale} steps off");
        }
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-groups-of-32", [128, 0, 1, 5, 0, 3, .. Enumerable.Range(0, 128).Select(i => (byte)(i * 77))]),
        new("seed-halves", [20, 0, 0, 20, 0, 0, 2 + (40 << 2), 127, 1, 3, 5, 7, 253, 251]),
        new("seed-nasty", [40, 0, 0, 6, 0, 3, 1, .. Enumerable.Range(0, 40).Select(i => (byte)(7 + (8 * i)))]),
    ];
}
