namespace Llama2.Fast.Pass;

/// <summary>
/// Activations of a batch of rows. A row begins whole lanes behind the one before, and the floats between a row's end and the next row stay
/// zero.
/// </summary>
/// <param name="length">Floats in a row.</param>
/// <param name="groupSize">Elements that share a scale where matrices of int8 multiply the rows.</param>
/// <param name="blocks">Whether matrices of blocks multiply the rows.</param>
internal sealed unsafe class Activations(int length, int? groupSize = null, bool blocks = false) : IDisposable
{
    private readonly NativeBuffer<float> _floats = new();

    public readonly QuantizedActivations? Int8 = groupSize is { } size ? new(length, size) : null; // the rows as int8
    public readonly BlockActivations? Blocks = blocks ? new(length) : null;
    public readonly int Length = length;
    public readonly int Stride = Lanes.RoundUp(length); // floats between rows

    /// <summary>The rows from <paramref name="row"/> on.</summary>
    public float* this[int row] => _floats.Pointer + (nint)row * Stride;
    public Span<float> Row(int row) => new(this[row], Length);

    /// <summary>Some rows, as a matrix multiplies them.</summary>
    public Inputs Rows(int first, int count) => new(this[first], Stride, Int8, first, count, Blocks);

    /// <summary>Room for that many rows; the contents are lost if it has to grow.</summary>
    public void EnsureRows(int rows)
    {
        _floats.EnsureCount((long)rows * Stride);
        Int8?.EnsureRows(rows);
        Blocks?.EnsureRows(rows);
    }

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to)
    {
        Row(from).CopyTo(Row(to));
        Int8?.Move(from, to);
        Blocks?.Move(from, to);
    }

    public void Dispose()
    {
        _floats.Dispose();
        Int8?.Dispose();
        Blocks?.Dispose();
    }
}

/// <summary>Rows of activations that a matrix multiplies: a matrix of floats as floats, one of int8 or blocks as int8.</summary>
internal readonly unsafe struct Inputs(
    float* floats, nint stride, QuantizedActivations? int8, int first, int count, BlockActivations? blocks = null)
{
    public readonly float* Floats = floats;             // (rows, stride)
    public readonly nint Stride = stride;
    public readonly QuantizedActivations? Int8 = int8;
    public readonly BlockActivations? Blocks = blocks;
    public readonly int First = first;                  // row of Int8 and Blocks
    public readonly int Count = count;
}
