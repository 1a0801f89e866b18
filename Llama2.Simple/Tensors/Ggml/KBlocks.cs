using System.Buffers.Binary;

namespace Llama2.Simple.Tensors;

/// <summary>
/// Blocks of 256 elements, whose parts of 16 or 32 have scales and minima of a few bits. Where a value has fewer bits than a byte, a byte
/// holds those of elements 32 apart (4 bits: of the same 64; 2 bits: of the same 128).
/// </summary>
internal static class KBlocks
{
    public static void Q2K(ReadOnlySpan<byte> bytes, Block block)
    {
        ReadOnlySpan<byte> scales = bytes[..16], values = bytes.Slice(16, 64);
        (block.Scale, block.Min) = (SmallBlocks.Float16(bytes[80..]), SmallBlocks.Float16(bytes[82..]));
        for (int part = 0; part < 16; part++)
            (block.Scales[part], block.Minima[part]) = ((sbyte)(scales[part] & 15), (sbyte)(scales[part] >> 4));
        for (int j = 0; j < Block.MaxElements; j++)
            block.Values[j] = (sbyte)TwoBits(values, j);
    }

    public static void Q3K(ReadOnlySpan<byte> bytes, Block block)
    {
        ReadOnlySpan<byte> high = bytes[..32], values = bytes.Slice(32, 64), scales = bytes.Slice(96, 12);
        block.Scale = SmallBlocks.Float16(bytes[108..]);
        for (int part = 0; part < 16; part++)
        {
            int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
            block.Scales[part] = (sbyte)((low | (scales[8 + part % 4] >> 2 * (part / 4) & 3) << 4) - 32);
        }
        for (int j = 0; j < Block.MaxElements; j++)
            block.Values[j] = (sbyte)(TwoBits(values, j) - ((high[j % 32] >> j / 32 & 1) == 1 ? 0 : 4));
    }

    public static void Q4K(ReadOnlySpan<byte> bytes, Block block)
    {
        ScalesAndMinima(bytes, block);
        for (int j = 0; j < Block.MaxElements; j++)
            block.Values[j] = (sbyte)FourBits(bytes[16..], j);
    }

    public static void Q5K(ReadOnlySpan<byte> bytes, Block block)
    {
        ScalesAndMinima(bytes, block);
        ReadOnlySpan<byte> high = bytes.Slice(16, 32);
        for (int j = 0; j < Block.MaxElements; j++)
            block.Values[j] = (sbyte)(FourBits(bytes[48..], j) | (high[j % 32] >> j / 32 & 1) << 4);
    }

    public static void Q6K(ReadOnlySpan<byte> bytes, Block block)
    {
        ReadOnlySpan<byte> low = bytes[..128], high = bytes.Slice(128, 64), scales = bytes.Slice(192, 16);
        block.Scale = SmallBlocks.Float16(bytes[208..]);
        for (int part = 0; part < 16; part++)
            block.Scales[part] = (sbyte)scales[part];
        for (int j = 0; j < Block.MaxElements; j++)
        {
            int fourBits = low[j / 128 * 64 + j % 64] >> j / 64 % 2 * 4 & 15;
            block.Values[j] = (sbyte)((fourBits | TwoBits(high, j) << 4) - 32);
        }
    }

    public static void Iq4Xs(ReadOnlySpan<byte> bytes, Block block)
    {
        ushort high = BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]);
        ReadOnlySpan<byte> low = bytes.Slice(4, 4);
        block.Scale = SmallBlocks.Float16(bytes);
        for (int part = 0; part < 16; part++)
        {
            int group = part / 2;
            block.Scales[part] = (sbyte)((low[group / 2] >> group % 2 * 4 & 15 | (high >> 2 * group & 3) << 4) - 32);
        }
        for (int j = 0; j < Block.MaxElements; j += 32)
            SmallBlocks.Nibbles(bytes[(8 + j / 2)..], block.Values.AsSpan(j, 32), subtract: 0);
        for (int j = 0; j < Block.MaxElements; j++)
            block.Values[j] = SmallBlocks.NonLinear[block.Values[j]];
    }

    // The two bits of element j in 64 bytes.
    private static int TwoBits(ReadOnlySpan<byte> bytes, int j) => bytes[j / 128 * 32 + j % 32] >> j / 32 % 4 * 2 & 3;

    // The four bits of element j in 128 bytes.
    private static int FourBits(ReadOnlySpan<byte> bytes, int j) => bytes[j / 64 * 32 + j % 32] >> j / 32 % 2 * 4 & 15;

    // Of q4_K and q5_K: two floats, then 12 bytes for eight scales and eight minima of six bits. The first four of each are the
    // low six bits of eight bytes, whose high two bits complete the nibbles of the last four.
    private static void ScalesAndMinima(ReadOnlySpan<byte> bytes, Block block)
    {
        (block.Scale, block.Min) = (SmallBlocks.Float16(bytes), SmallBlocks.Float16(bytes[2..]));
        ReadOnlySpan<byte> packed = bytes.Slice(4, 12);
        for (int part = 0; part < 16; part++)
        {
            int i = part / 2 % 4;
            bool first = part < 8;
            block.Scales[part] = (sbyte)(first ? packed[i] & 63 : packed[8 + i] & 15 | packed[i] >> 6 << 4);
            block.Minima[part] = (sbyte)(first ? packed[4 + i] & 63 : packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
        }
    }
}
