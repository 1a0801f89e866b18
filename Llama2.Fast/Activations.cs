using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

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
    private readonly NativeBuffer<sbyte> _ones = new();
    private readonly NativeBuffer<sbyte> _values = new();
    private readonly NativeBuffer<short> _pairs = new();
    private readonly NativeBuffer<float> _scales = new();
    private readonly NativeBuffer<int> _sums = new();

    /// <summary>Elements that share a scale.</summary>
    public int GroupSize { get; } = groupSize;

    /// <summary>Scales, and sums, between rows.</summary>
    public int ScaleStride { get; } = (int)((longestRow + (long)groupSize - 1) / groupSize);

    /// <summary>Int8 values of the rows from <paramref name="row"/> on.</summary>
    public sbyte* Values(int row) => _values.Pointer + (nint)row * longestRow;

    /// <summary>A row's values as a kernel's lanes take them: so many a step, as int8 or in pairs of int16.</summary>
    public int* Steps(int row, int depth) => depth == 2 ? (int*)(_pairs.Pointer + (nint)row * longestRow) : (int*)Values(row);

    /// <summary>Their scales.</summary>
    public float* Scales(int row) => _scales.Pointer + (nint)row * ScaleStride;

    /// <summary>Sums of the values of each group, where they are whole registers.</summary>
    public int* Sums(int row) => _sums.Pointer + (nint)row * ScaleStride;

    /// <summary>Quantises a row of n floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Quantize<TLanes, TInt8>(int row, float* x, int n)
        where TLanes : struct, ILanes<TLanes>
        where TInt8 : struct, IInt8<TInt8>
    {
        Nn<TLanes>.Quantize(x, n, GroupSize, Values(row), Scales(row), halvesToEven: false);
        if (TInt8.Depth == 2)
        {
            short* pairs = (short*)Steps(row, 2);
            for (int j = 0; j < n; j++)
                pairs[j] = Values(row)[j];
        }
        if (GroupSize % Int8.Step != 0 || n % GroupSize != 0)
            return;
        int* sums = Sums(row);
        sbyte* values = Values(row);
        for (int start = 0; start < n; start += GroupSize)
        {
            int sum = 0;
            for (int j = start; j < start + GroupSize; j += Int8.Step)
                sum += TInt8.Dot(values + j, 0, _ones.Pointer, Int8.Step)[0];
            *sums++ = sum;
        }
    }

    /// <summary>Room for so many rows; what was there is lost if there was not.</summary>
    public void EnsureRows(int rows)
    {
        new Span<sbyte>(_ones.EnsureCount(Int8.Step), Int8.Step).Fill(1);
        _values.EnsureCount((long)rows * longestRow);
        _pairs.EnsureCount((long)rows * longestRow);
        _scales.EnsureCount((long)rows * ScaleStride);
        _sums.EnsureCount((long)rows * ScaleStride);
    }

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to)
    {
        new ReadOnlySpan<sbyte>(Values(from), longestRow).CopyTo(new Span<sbyte>(Values(to), longestRow));
        new ReadOnlySpan<int>(Steps(from, 2), longestRow / 2).CopyTo(new Span<int>(Steps(to, 2), longestRow / 2));
        new ReadOnlySpan<float>(Scales(from), ScaleStride).CopyTo(new Span<float>(Scales(to), ScaleStride));
        new ReadOnlySpan<int>(Sums(from), ScaleStride).CopyTo(new Span<int>(Sums(to), ScaleStride));
    }

    public void Dispose()
    {
        _values.Dispose();
        _pairs.Dispose();
        _scales.Dispose();
        _sums.Dispose();
        _ones.Dispose();
    }
}
