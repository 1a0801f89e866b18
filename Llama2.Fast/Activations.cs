namespace Llama2.Fast;

/// <summary>
/// The current wave of activations, for a batch of rows. Rows are whole lanes apart, and what lies between a row's end and
/// the next row stays zero.
/// </summary>
internal sealed unsafe class Activations(int rowLength) : IDisposable
{
    private const int Lanes = 16;

    private readonly NativeBuffer<float> _floats = new();

    /// <summary>Floats between rows.</summary>
    public int Stride { get; } = rowLength + Lanes - 1 & -Lanes;

    /// <summary>The rows from <paramref name="row"/> on.</summary>
    public float* this[int row] => _floats.Pointer + (nint)row * Stride;

    /// <summary>Room for so many rows; what was there is lost if there was not.</summary>
    public void EnsureRows(int rows) => _floats.EnsureCount((long)rows * Stride);

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to) => new ReadOnlySpan<float>(this[from], Stride).CopyTo(new Span<float>(this[to], Stride));

    public void Dispose() => _floats.Dispose();
}

/// <summary>Activations of a batch as int8 in groups, for matrices of int8.</summary>
internal sealed unsafe class QuantizedActivations(int longestRow, int groupSize) : IDisposable
{
    private readonly NativeBuffer<sbyte> _values = new();
    private readonly NativeBuffer<float> _scales = new();
    private readonly int _scaleStride = (int)((longestRow + (long)groupSize - 1) / groupSize);

    /// <summary>Elements that share a scale.</summary>
    public int GroupSize { get; } = groupSize;

    /// <summary>Int8 values of the rows from <paramref name="row"/> on.</summary>
    public sbyte* Values(int row) => _values.Pointer + (nint)row * longestRow;

    /// <summary>Their scales.</summary>
    public float* Scales(int row) => _scales.Pointer + (nint)row * _scaleStride;

    /// <summary>Room for so many rows; what was there is lost if there was not.</summary>
    public void EnsureRows(int rows)
    {
        _values.EnsureCount((long)rows * longestRow);
        _scales.EnsureCount((long)rows * _scaleStride);
    }

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to)
    {
        new ReadOnlySpan<sbyte>(Values(from), longestRow).CopyTo(new Span<sbyte>(Values(to), longestRow));
        new ReadOnlySpan<float>(Scales(from), _scaleStride).CopyTo(new Span<float>(Scales(to), _scaleStride));
    }

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
    }
}
