using System.Runtime.CompilerServices;

namespace Llama2.Simple.Tensors;

/// <summary>A matrix of quantised blocks.</summary>
/// <remarks>
/// Its product is runq.c's but for the vector's 15 bits: the vector is quantised, 32 elements to a scale, and what 32 elements of a row
/// and of the vector give is an exact integer. Eight lanes take these in turn, so that vector instructions can. With 8 bits as llama.cpp
/// has them, logits would be a hundred times further from those of the dequantised weights, and decode a fifth faster where it does not
/// wait for memory.
/// </remarks>
internal sealed class BlockTensor(GgmlType type, int rows, int columns, BytesSource bytes) : GgmlTensor(type, rows, columns, bytes)
{
    /// <summary>Elements of the vector that share a scale.</summary>
    public const int GroupSize = 32;

    private const int Lanes = 8, Part = Block.PartElements;

    public override void CopyRow(int row, Span<float> destination)
    {
        ReadOnlySpan<byte> bytes = Row(row).Span;
        Block block = new();
        for (int start = 0; start < Columns; start += Type.BlockElements, bytes = bytes[Type.BlockBytes..])
        {
            Type.Unpack!(bytes, block);
            for (int j = 0; j < Type.BlockElements; j++)
            {
                float value = block.Scale * block.Scales[j / Part] * block.Values[j];
                destination[start + j] = Type.HasMinima ? value - block.Min * block.Minima[j / Part] : value;
            }
        }
    }

    /// <summary>W (rows, columns) @ x (columns,) -> xout (rows,), x quantised first.</summary>
    /// <remarks>
    /// Group g of 32 elements adds to lane g mod 8 of its row, by two fused multiply-adds, the integers rounded to float32 once:
    /// (sum of Scales * Values * xq) times (Scale * xs), then, where the type has minima, (sum of Minima * xq) times -(Min * xs). The
    /// lanes are added by halving: l and l + 4, l and l + 2, l and l + 1. No sum is beyond 32 * 128 * 32 * 16256, q6_K's, below 2^31.
    /// </remarks>
    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout)
    {
        short[] xq = new short[Columns];
        float[] xs = new float[Columns / GroupSize];
        Quantization.QuantizeTo15Bits(x[..Columns], GroupSize, xq, xs);
        Block block = new();
        for (int i = 0; i < Rows; i++)
            xout[i] = Dot(Row(i).Span, xq, xs, block);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float Dot(ReadOnlySpan<byte> bytes, ReadOnlySpan<short> xq, ReadOnlySpan<float> xs, Block block)
    {
        Span<float> lanes = stackalloc float[Lanes];
        for (int g = 0; g < xs.Length; g++)
        {
            int start = g * GroupSize % Type.BlockElements; // of the group in its block
            if (start == 0)
            {
                Type.Unpack!(bytes, block);
                bytes = bytes[Type.BlockBytes..];
            }
            int dot = 0, min = 0;
            for (int j = 0; j < GroupSize; j++)
            {
                int q = xq[g * GroupSize + j];
                dot += block.Scales[(start + j) / Part] * block.Values[start + j] * q;
                min += block.Minima[(start + j) / Part] * q;
            }
            ref float lane = ref lanes[g % Lanes];
            lane = MathF.FusedMultiplyAdd(dot, block.Scale * xs[g], lane);
            if (Type.HasMinima)
                lane = MathF.FusedMultiplyAdd(min, -(block.Min * xs[g]), lane);
        }
        for (int half = Lanes / 2; half > 0; half /= 2)
        {
            for (int l = 0; l < half; l++)
                lanes[l] += lanes[l + half];
        }
        return lanes[0];
    }
}
