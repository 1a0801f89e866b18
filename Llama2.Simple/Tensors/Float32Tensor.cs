using System.Runtime.InteropServices;

namespace Llama2.Simple.Tensors;

/// <summary>A matrix of float32 as it lies in a v0 or v1 checkpoint: run.c's <c>matmul</c>.</summary>
public sealed class Float32Tensor(int rows, int columns, ReadOnlyMemory<float> data) : Tensor(rows, columns)
{
    /// <summary>A vector as a matrix of one row.</summary>
    public static Float32Tensor Vector(ReadOnlyMemory<float> data) => new(1, data.Length, data);

    /// <summary>The elements, row by row: (rows, columns).</summary>
    public ReadOnlyMemory<float> Data { get; } = data;

    public override string Describe() => "f32";
    public override long Bytes => sizeof(float) * Elements;

    public override void CopyRow(int row, Span<float> destination) => Data.Span.Slice(row * Columns, Columns).CopyTo(destination);

    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout) => Nn.MatMul(xout[..Rows], x[..Columns], Data.Span);

    public override void VisitBytes(int size, BytesVisitor visitor)
    {
        for (int start = 0, count; start < Data.Length; start += count)
        {
            count = Math.Min(size / sizeof(float), Data.Length - start);
            visitor(MemoryMarshal.AsBytes(Data.Span.Slice(start, count)));
        }
    }
}
