using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Llama2.Simple.Tensors;

/// <summary>
/// A matrix quantised in groups (q8_0 of a v2 checkpoint): element e of the flat matrix is Values[e] * Scales[e / GroupSize]. Groups run
/// on across row ends where <see cref="Tensor.Columns"/> is not a multiple of the group size.
/// </summary>
public sealed class Q8GroupsTensor(int rows, int columns, int groupSize, ReadOnlyMemory<sbyte> values, ReadOnlyMemory<float> scales)
    : Tensor(rows, columns)
{
    public int GroupSize { get; } = groupSize;             // elements that share a scale
    public ReadOnlyMemory<sbyte> Values { get; } = values; // (rows, columns)
    public ReadOnlyMemory<float> Scales { get; } = scales; // (rows * columns / group_size,), at any address, also an odd one

    public override long Bytes => Elements + sizeof(float) * (Elements / GroupSize);
    public override string Describe() => $"q8_0 in groups of {GroupSize}";

    public override void CopyRow(int row, Span<float> destination)
    {
        int start = row * Columns;
        ReadOnlySpan<sbyte> q = Values.Span.Slice(start, Columns);
        ReadOnlySpan<float> s = Scales.Span;
        for (int j = 0; j < q.Length; j++)
            destination[j] = q[j] * s[(start + j) / GroupSize];
    }

    /// <remarks>
    /// runq.c's <c>matmul</c>, its activations quantised first. runq.c leaves out the elements after the last whole group
    /// of a row; here a run of equal scales ends where a group of x or of W ends, which is the same wherever runq.c is right.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout)
    {
        sbyte[] xq = new sbyte[Columns];
        float[] xs = new float[(Columns + GroupSize - 1) / GroupSize];
        Quantization.QuantizeActivations(x, GroupSize, xq, xs);
        ReadOnlySpan<sbyte> wq = Values.Span;
        ReadOnlySpan<float> ws = Scales.Span;
        for (int i = 0; i < Rows; i++)
        {
            int start = i * Columns;
            float sum = 0;
            for (int j = 0; j < Columns;)
            {
                int wGroup = (start + j) / GroupSize, xGroup = j / GroupSize;
                int end = (int)Math.Min(Columns, Math.Min((wGroup + 1L) * GroupSize - start, (xGroup + 1L) * GroupSize));
                int dot = 0;
                for (; j < end; j++)
                    dot += xq[j] * wq[start + j];
                sum += dot * ws[wGroup] * xs[xGroup];
            }
            xout[i] = sum;
        }
    }

    public override void VisitBytes(int size, BytesVisitor visitor)
    {
        for (int start = 0, count; start < Values.Length; start += count)
        {
            count = Math.Min(size, Values.Length - start);
            visitor(MemoryMarshal.AsBytes(Values.Span.Slice(start, count)));
        }
        Float32Tensor.Vector(Scales).VisitBytes(size, visitor);
    }
}
