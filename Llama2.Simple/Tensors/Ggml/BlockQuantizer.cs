using System.Buffers.Binary;

namespace Llama2.Simple.Tensors;

/// <summary>Floats to ggml's types, with ggml's bytes.</summary>
public static class BlockQuantizer
{
    private const float MaxHalf = 65504; // float16's largest number; no scale is larger than the numbers it is of

    /// <summary>The types that floats can be made.</summary>
    public static IReadOnlyList<GgmlType> Types { get; } = [.. GgmlType.All.Where(type => type.Pack is not null)];

    /// <summary>Quantises whole blocks.</summary>
    /// <param name="type">One of <see cref="Types"/>.</param>
    /// <param name="x">The floats: (n,).</param>
    /// <param name="bytes">Receives the blocks.</param>
    /// <exception cref="ArgumentException">It is another type, or n is not of whole blocks.</exception>
    public static void Quantize(GgmlType type, ReadOnlySpan<float> x, Span<byte> bytes)
    {
        BlockPacker pack = type.Pack ?? throw new ArgumentException($"floats are not made {type}", nameof(type));
        ArgumentOutOfRangeException.ThrowIfNotEqual(x.Length % type.BlockElements, 0, nameof(x));
        for (; x.Length > 0; x = x[type.BlockElements..], bytes = bytes[type.BlockBytes..])
            pack(x[..type.BlockElements], bytes);
    }

    /// <summary>
    /// Whether floats, made a type, stay what they are but for rounding: those past float16's range may become infinities, or zeros, as
    /// scales are of float16.
    /// </summary>
    /// <param name="type">One of <see cref="Types"/>.</param>
    /// <param name="x">The floats: (n,).</param>
    public static bool Holds(GgmlType type, ReadOnlySpan<float> x)
    {
        float largest = 0;
        foreach (float v in x)
            largest = MathF.Max(largest, MathF.Abs(v)); // NaN where one is
        if (largest <= MaxHalf)
            return true;
        byte[] bytes = new byte[type.RowBytes(x.Length)];
        Quantize(type, x, bytes);
        float[] made = new float[x.Length];
        GgmlTensor.Create(type, 1, x.Length, bytes).CopyRow(0, made);
        bool holds = float.IsFinite(largest);
        for (int i = 0; i < x.Length; i++)
            holds &= MathF.Abs(made[i] - x[i]) <= largest / 4; // no type has steps so wide
        return holds;
    }

    internal static void ToFloat32(ReadOnlySpan<float> x, Span<byte> bytes) => BinaryPrimitives.WriteSingleLittleEndian(bytes, x[0]);

    internal static void ToFloat16(ReadOnlySpan<float> x, Span<byte> bytes) => BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)x[0]);

    /// <summary>The upper half of the bits, rounded to nearest, halves to even; NaN stays NaN.</summary>
    internal static void ToBFloat16(ReadOnlySpan<float> x, Span<byte> bytes)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x[0]);
        bits = float.IsNaN(x[0]) ? bits | 1 << 22 : bits + 0x7fff + (bits >> 16 & 1);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)(bits >> 16));
    }

    /// <summary>The largest magnitude becomes 127.</summary>
    internal static void ToQ80(ReadOnlySpan<float> x, Span<byte> bytes)
    {
        float scale = MathF.Abs(Largest(x)) / 127, inverse = scale == 0 ? 0 : 1 / scale;
        BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)scale);
        for (int j = 0; j < x.Length; j++)
            bytes[2 + j] = (byte)(sbyte)MathF.Round(x[j] * inverse, MidpointRounding.AwayFromZero);
    }

    /// <summary>The number of the largest magnitude becomes -8, so that the scale may be negative.</summary>
    internal static void ToQ40(ReadOnlySpan<float> x, Span<byte> bytes)
    {
        float scale = Largest(x) / -8, inverse = scale == 0 ? 0 : 1 / scale;
        BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)scale);
        int half = x.Length / 2;
        for (int j = 0; j < half; j++)
            bytes[2 + j] = (byte)(Nibble(x[j] * inverse) | Nibble(x[half + j] * inverse) << 4);

        static int Nibble(float quotient) => Math.Min(15, (int)(quotient + 8.5f));
    }

    /// <summary>The first number of the largest magnitude, with its sign.</summary>
    internal static float Largest(ReadOnlySpan<float> x)
    {
        float largest = 0;
        foreach (float v in x)
            largest = MathF.Abs(v) > MathF.Abs(largest) ? v : largest;
        return largest;
    }
}
