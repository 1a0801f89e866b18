namespace Llama2.Simple.Tensors;

/// <summary>Symmetric integers in groups: each group of floats becomes int8, or 15 bits, and one scale.</summary>
public static class Quantization
{
    /// <summary>
    /// runq.c's <c>quantize</c>: the scale is the largest magnitude / 127, halves round away from zero. A group of zeros gets scale 0 and
    /// values 0; a value that is not a number becomes 0.
    /// </summary>
    /// <param name="x">The floats: (n,); the last group may be shorter.</param>
    /// <param name="groupSize">Elements a group.</param>
    /// <param name="values">Receives (n,).</param>
    /// <param name="scales">Receives (ceil(n / group_size),).</param>
    public static void QuantizeActivations(ReadOnlySpan<float> x, int groupSize, Span<sbyte> values, Span<float> scales) =>
        Quantize(x, groupSize, values, scales, MidpointRounding.AwayFromZero);

    /// <summary>llama2.c's export.py <c>quantize_q80</c>: as <see cref="QuantizeActivations"/>, but halves round to even.</summary>
    public static void QuantizeWeights(ReadOnlySpan<float> x, int groupSize, Span<sbyte> values, Span<float> scales) =>
        Quantize(x, groupSize, values, scales, MidpointRounding.ToEven);

    /// <summary>
    /// Activations in 15 bits: 128 steps for one of int8's, so that two int8 hold a value as its digits. Halves round to even; zeros, and
    /// values that are not numbers, are those of <see cref="QuantizeActivations"/>.
    /// </summary>
    /// <param name="x">The floats: (n,), of whole groups.</param>
    /// <param name="groupSize">Elements a group.</param>
    /// <param name="values">Receives (n,), from -16256 to 16256.</param>
    /// <param name="scales">Receives (n / group_size,).</param>
    public static void QuantizeTo15Bits(ReadOnlySpan<float> x, int groupSize, Span<short> values, Span<float> scales)
    {
        const float Max = 127 * 128;
        for (int group = 0; group < scales.Length; group++)
        {
            ReadOnlySpan<float> part = x.Slice(group * groupSize, groupSize);
            float scale = MaxMagnitude(part) / Max;
            scales[group] = scale;
            for (int i = 0; i < groupSize; i++)
            {
                float quotient = part[i] / scale;
                values[group * groupSize + i] = float.IsNaN(quotient) ? (short)0 : (short)MathF.Round(Math.Clamp(quotient, -Max, Max));
            }
        }
    }

    private static void Quantize(ReadOnlySpan<float> x, int groupSize, Span<sbyte> values, Span<float> scales, MidpointRounding halves)
    {
        for (int group = 0, start = 0; start < x.Length; group++, start += Math.Min(groupSize, x.Length - start))
        {
            ReadOnlySpan<float> part = x.Slice(start, Math.Min(groupSize, x.Length - start));
            float scale = MaxMagnitude(part) / 127;
            scales[group] = scale;
            for (int i = 0; i < part.Length; i++)
                values[start + i] = ToInt8(MathF.Round(part[i] / scale, halves));
        }
    }

    private static float MaxMagnitude(ReadOnlySpan<float> x)
    {
        float max = 0;
        foreach (float v in x)
            max = MathF.Abs(v) > max ? MathF.Abs(v) : max; // a comparison with NaN is false
        return max;
    }

    // The quotient is within +-127 but for NaN (0/0, inf/inf, NaN itself) and where a denormal scale lost its digits.
    private static sbyte ToInt8(float rounded) => float.IsNaN(rounded) ? (sbyte)0 : (sbyte)Math.Clamp(rounded, -127f, 127f);
}
