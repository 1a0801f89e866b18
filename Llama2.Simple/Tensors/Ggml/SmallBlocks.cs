using System.Buffers.Binary;

namespace Llama2.Simple.Tensors;

/// <summary>
/// Blocks of 32 elements: a float16 scale, and a float16 minimum in types named _1. In a byte of nibbles the low one is of element j of the
/// first half, the high one of element j of the second.
/// </summary>
internal static class SmallBlocks
{
    private const int Half = 16;

    /// <summary>The values that the nibbles of the non-linear types stand for.</summary>
    public static ReadOnlySpan<sbyte> NonLinear => [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    public static void Q40(ReadOnlySpan<byte> bytes, Block block)
    {
        block.Scale = Float16(bytes);
        Nibbles(bytes[2..], block.Values, subtract: 8);
    }

    public static void Q41(ReadOnlySpan<byte> bytes, Block block)
    {
        (block.Scale, block.Min) = (Float16(bytes), -Float16(bytes[2..]));
        Nibbles(bytes[4..], block.Values, subtract: 0);
    }

    public static void Q50(ReadOnlySpan<byte> bytes, Block block)
    {
        block.Scale = Float16(bytes);
        Nibbles(bytes[6..], block.Values, subtract: 16);
        FifthBits(bytes[2..], block.Values);
    }

    public static void Q51(ReadOnlySpan<byte> bytes, Block block)
    {
        (block.Scale, block.Min) = (Float16(bytes), -Float16(bytes[2..]));
        Nibbles(bytes[8..], block.Values, subtract: 0);
        FifthBits(bytes[4..], block.Values);
    }

    public static void Q80(ReadOnlySpan<byte> bytes, Block block)
    {
        block.Scale = Float16(bytes);
        for (int j = 0; j < 2 * Half; j++)
            block.Values[j] = (sbyte)bytes[2 + j];
    }

    public static void Iq4Nl(ReadOnlySpan<byte> bytes, Block block)
    {
        block.Scale = Float16(bytes);
        Nibbles(bytes[2..], block.Values, subtract: 0);
        for (int j = 0; j < 2 * Half; j++)
            block.Values[j] = NonLinear[block.Values[j]];
    }

    public static float Float16(ReadOnlySpan<byte> bytes) => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes);

    /// <summary>32 values from 16 bytes.</summary>
    public static void Nibbles(ReadOnlySpan<byte> bytes, Span<sbyte> values, int subtract)
    {
        for (int j = 0; j < Half; j++)
        {
            values[j] = (sbyte)((bytes[j] & 15) - subtract);
            values[j + Half] = (sbyte)((bytes[j] >> 4) - subtract);
        }
    }

    // Bit j adds 16 to value j.
    private static void FifthBits(ReadOnlySpan<byte> bytes, Span<sbyte> values)
    {
        uint bits = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        for (int j = 0; j < 2 * Half; j++)
            values[j] += (sbyte)((bits >> j & 1) << 4);
    }
}
