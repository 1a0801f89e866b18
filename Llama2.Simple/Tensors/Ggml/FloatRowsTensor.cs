using System.Runtime.InteropServices;

namespace Llama2.Simple.Tensors;

/// <summary>A matrix of float16 or bfloat16, or of float32 that is too large for a span: run.c's <c>matmul</c> of each row.</summary>
internal sealed class FloatRowsTensor(GgmlType type, int rows, int columns, BytesSource bytes) : GgmlTensor(type, rows, columns, bytes)
{
    public override void CopyRow(int row, Span<float> destination)
    {
        ReadOnlySpan<byte> from = Row(row).Span;
        Span<float> to = destination[..Columns];
        if (Type == GgmlType.F32)
            from.CopyTo(MemoryMarshal.AsBytes(to));
        else if (Type == GgmlType.F16)
        {
            ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(from);
            for (int j = 0; j < to.Length; j++)
                to[j] = (float)halves[j];
        }
        else
        {
            ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(from);
            for (int j = 0; j < to.Length; j++)
                to[j] = BitConverter.UInt32BitsToSingle((uint)upper[j] << 16);
        }
    }

    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout)
    {
        float[] w = new float[Columns];
        for (int i = 0; i < Rows; i++)
        {
            CopyRow(i, w);
            xout[i] = Nn.Dot(w, x[..Columns]);
        }
    }
}
