using System.Buffers;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>A weight matrix (rows, columns) by its address: float32, or int8 in groups. The memory stays the tensor's.</summary>
internal readonly unsafe struct Matrix
{
    /// <summary>Pins a tensor; <paramref name="pins"/> keeps it pinned.</summary>
    public Matrix(Tensor tensor, List<MemoryHandle> pins)
    {
        (Rows, Columns) = (tensor.Rows, tensor.Columns);
        switch (tensor)
        {
            case FloatTensor floats:
                Floats = Pin(floats.Data, pins);
                break;
            case Q8Tensor int8:
                GroupSize = int8.GroupSize;
                Values = Pin(int8.Values, pins);
                Scales = Pin(int8.Scales, pins);
                break;
            default:
                throw new ArgumentException($"no kernel for a {tensor.GetType().Name}", nameof(tensor));
        }
    }

    /// <summary>Int8 that lies somewhere else.</summary>
    public Matrix(int rows, int columns, int groupSize, sbyte* values, float* scales)
    {
        (Rows, Columns, GroupSize) = (rows, columns, groupSize);
        Values = values;
        Scales = scales;
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>The elements of float32, row by row.</summary>
    public float* Floats { get; }

    /// <summary>Elements that share a scale, where they are int8; else 0.</summary>
    public int GroupSize { get; }

    /// <summary>The elements of int8, row by row.</summary>
    public sbyte* Values { get; }

    /// <summary>One scale a group of the flat matrix.</summary>
    public float* Scales { get; }

    /// <summary>Whether a group, of int8, ends where a row ends and is made of whole registers.</summary>
    public bool HasWholeGroups => GroupSize % Kernels.Int8.Step == 0 && Columns % GroupSize == 0;

    /// <summary>Bytes of a row, scales included.</summary>
    public long RowBytes => GroupSize == 0 ? sizeof(float) * (long)Columns : Columns + sizeof(float) * (long)Columns / GroupSize;

    /// <summary>The address of some memory, for as long as <paramref name="pins"/> live.</summary>
    public static T* Pin<T>(ReadOnlyMemory<T> memory, List<MemoryHandle> pins) where T : unmanaged
    {
        MemoryHandle pin = memory.Pin();
        pins.Add(pin);
        return (T*)pin.Pointer;
    }
}
