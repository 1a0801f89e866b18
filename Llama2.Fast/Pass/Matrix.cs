namespace Llama2.Fast.Pass;

/// <summary>Floats, int8 in groups that share a float32 scale, or ggml's blocks.</summary>
internal enum MatrixType { Float32, Float16, BFloat16, Int8, Blocks }

/// <summary>A weight matrix (rows, columns) by its address. The memory stays the tensor's.</summary>
internal sealed unsafe class Matrix
{
    public readonly MatrixType Type;
    public readonly int Rows, Columns;
    public readonly float* Floats; // the elements of float32, row by row
    public readonly sbyte* Values; // the elements of int8, row by row
    public readonly float* Scales; // of int8: one a group of the flat matrix
    public readonly int GroupSize; // elements of int8 that share a scale
    public readonly byte* Bytes;   // the rows of float16, bfloat16 and blocks
    public readonly GgmlType? Blocks;

    /// <summary>Pins a tensor; <paramref name="pins"/> keeps it pinned.</summary>
    public Matrix(Tensor tensor, List<MemoryHandle> pins)
    {
        (Rows, Columns) = (tensor.Rows, tensor.Columns);
        switch (tensor)
        {
            case Float32Tensor floats:
                Floats = Pin(floats.Data, pins);
                break;
            case Q8GroupsTensor int8:
                (Type, GroupSize) = (MatrixType.Int8, int8.GroupSize);
                Values = Pin(int8.Values, pins);
                Scales = Pin(int8.Scales, pins);
                break;
            case GgmlTensor ggml:
                (Type, Blocks) = (TypeOf(ggml.Type), ggml.Type);
                Bytes = Pin(ggml.Row(0), pins);
                Floats = (float*)Bytes;
                break;
            default:
                throw new ArgumentException($"no kernel for a {tensor.GetType().Name}", nameof(tensor));
        }
    }

    private static MatrixType TypeOf(GgmlType type) => type.Unpack is not null ? MatrixType.Blocks
        : type == GgmlType.F16 ? MatrixType.Float16 : type == GgmlType.BF16 ? MatrixType.BFloat16 : MatrixType.Float32;

    /// <summary>int8 in memory of the caller's.</summary>
    public Matrix(int rows, int columns, int groupSize, sbyte* values, float* scales)
    {
        (Type, Rows, Columns, GroupSize) = (MatrixType.Int8, rows, columns, groupSize);
        Values = values;
        Scales = scales;
    }

    public bool HasWholeGroups => Lanes.HasWholeGroups(Columns, GroupSize); // of int8

    /// <summary>Bytes of a row, scales included.</summary>
    public long RowBytes => Blocks is not null ? Blocks.RowBytes(Columns)
        : Type == MatrixType.Int8 ? Columns + sizeof(float) * (long)Columns / GroupSize : sizeof(float) * (long)Columns;

    /// <summary>The address of some memory, for as long as <paramref name="pins"/> live.</summary>
    public static T* Pin<T>(ReadOnlyMemory<T> memory, List<MemoryHandle> pins) where T : unmanaged
    {
        pins.Add(memory.Pin());
        return (T*)pins[^1].Pointer;
    }
}
