using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Llama2.Tests.Shared;

/// <summary>Matrices of any of ggml's types, of random bits, whose floats are of a given size.</summary>
internal static class RandomWeights
{
    public static IReadOnlyList<GgmlType> Blocks { get; } = [.. GgmlType.All.Where(type => type.Unpack is not null)];

    public static IReadOnlyList<GgmlType> Floats { get; } = [GgmlType.F32, GgmlType.F16, GgmlType.BF16];

    /// <summary>A matrix whose weights are around <paramref name="size"/>, at an odd address.</summary>
    public static Tensor Create(Random random, GgmlType type, int rows, int columns, float size)
    {
        byte[] bytes = new byte[1 + checked((int)(rows * type.RowBytes(columns)))];
        random.NextBytes(bytes);
        Span<byte> rest = bytes.AsSpan(1);
        if (type.Unpack is null)
        {
            for (int i = 0; i < rows * columns; i++)
                Write(type, (random.NextSingle() - 0.5f) * size, rest[(i * type.BlockBytes)..]);
            return GgmlTensor.Create(type, rows, columns, bytes.AsMemory(1));
        }
        Block block = new();
        for (; rest.Length > 0; rest = rest[type.BlockBytes..])
        {
            foreach (int offset in Halves(type))
                BinaryPrimitives.WriteHalfLittleEndian(rest[offset..], Half.One);
            type.Unpack(rest[..type.BlockBytes], block);
            float largest = Enumerable.Range(0, type.BlockElements).Max(j => Math.Abs((float)block.Values[j] * block.Scales[j / 16]));
            Half scale = (Half)(size * (random.NextSingle() - 0.5f) / Math.Max(1, largest));
            foreach (int offset in Halves(type))
                BinaryPrimitives.WriteHalfLittleEndian(rest[offset..], scale);
        }
        return GgmlTensor.Create(type, rows, columns, bytes.AsMemory(1));
    }

    private static void Write(GgmlType type, float value, Span<byte> to)
    {
        if (type == GgmlType.F32)
            MemoryMarshal.Write(to, value);
        else if (type == GgmlType.F16)
            MemoryMarshal.Write(to, (Half)value);
        else
            MemoryMarshal.Write(to, (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16));
    }

    /// <summary>Where the float16 of a block are.</summary>
    public static int[] Halves(GgmlType type) => type.Name switch
    {
        "q4_1" or "q5_1" or "q4_K" or "q5_K" => [0, 2],
        "q2_K" => [80, 82],
        "q3_K" => [108],
        "q6_K" => [208],
        _ => [0],
    };
}
