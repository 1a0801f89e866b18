namespace Llama2.Simple.Tensors;

/// <summary>Sees a part of a tensor's bytes.</summary>
public delegate void BytesVisitor(ReadOnlySpan<byte> bytes);

/// <summary>
/// A weight matrix of shape (rows, columns). The types differ in how a row becomes floats, and in how it meets a vector; that is all a
/// subclass says.
/// </summary>
public abstract class Tensor
{
    private protected Tensor(int rows, int columns) => (Rows, Columns) = (rows, columns);

    public int Rows { get; }
    public int Columns { get; }
    public long Elements => (long)Rows * Columns;
    public abstract long Bytes { get; } // of all elements, scales included

    /// <summary>The type in words: f32, q4_K, q8_0 in groups of 64.</summary>
    public abstract string Describe();

    /// <summary>Writes a row as floats: (columns,).</summary>
    public abstract void CopyRow(int row, Span<float> destination);

    /// <summary>W (rows, columns) @ x (columns,) -> xout (rows,): by far the most time is spent inside these.</summary>
    public abstract void Multiply(ReadOnlySpan<float> x, Span<float> xout);

    /// <summary>Shows all bytes as they lie in memory, in parts of at most <paramref name="size"/> bytes.</summary>
    public abstract void VisitBytes(int size, BytesVisitor visitor);
}
