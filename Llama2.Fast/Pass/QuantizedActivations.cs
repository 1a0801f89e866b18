namespace Llama2.Fast.Pass;

/// <summary>Activations of a batch of rows as int8 in groups.</summary>
/// <param name="length">Elements in a row.</param>
/// <param name="groupSize">Elements that share a scale.</param>
internal sealed unsafe class QuantizedActivations(int length, int groupSize) : IDisposable
{
    private readonly NativeBuffer<sbyte> _values = new();
    private readonly NativeBuffer<short> _words = new();
    private readonly NativeBuffer<float> _scales = new();
    private readonly NativeBuffer<int> _starts = new();

    public readonly int GroupSize = groupSize;
    public readonly int Groups = 1 + (length - 1) / groupSize; // of a row

    public bool HasWholeGroups => Lanes.HasWholeGroups(length, GroupSize);
    public sbyte* Values(int row) => _values.Pointer + (nint)row * length;  // (rows, length)
    public short* Words(int row) => _words.Pointer + (nint)row * length;    // (rows, length): the same, for kernels that multiply int16
    public float* Scales(int row) => _scales.Pointer + (nint)row * Groups;  // (rows, groups)
    public int* Starts(int row) => _starts.Pointer + (nint)row * Groups;    // (rows, groups), of sums: Int8Starts

    /// <summary>Room for that many rows; the contents are lost if it has to grow. What a kernel does not use is never touched.</summary>
    public void EnsureRows(int rows)
    {
        _values.EnsureCount((long)rows * length);
        _words.EnsureCount((long)rows * length);
        _scales.EnsureCount((long)rows * Groups);
        _starts.EnsureCount((long)rows * Groups);
    }

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to)
    {
        new Span<sbyte>(Values(from), length).CopyTo(new Span<sbyte>(Values(to), length));
        new Span<short>(Words(from), length).CopyTo(new Span<short>(Words(to), length));
        new Span<float>(Scales(from), Groups).CopyTo(new Span<float>(Scales(to), Groups));
        new Span<int>(Starts(from), Groups).CopyTo(new Span<int>(Starts(to), Groups));
    }

    public void Dispose()
    {
        _values.Dispose();
        _words.Dispose();
        _scales.Dispose();
        _starts.Dispose();
    }
}
