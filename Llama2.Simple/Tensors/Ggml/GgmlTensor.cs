using Llama2.Simple.Formats;

namespace Llama2.Simple.Tensors;

/// <summary>Some bytes of a tensor.</summary>
internal delegate ReadOnlyMemory<byte> BytesSource(long start, int count);

/// <summary>A matrix of one of ggml's types as it lies in a file, row after row; it may have more than 2^31 elements.</summary>
public abstract class GgmlTensor : Tensor
{
    private readonly BytesSource _bytes;

    private protected GgmlTensor(GgmlType type, int rows, int columns, BytesSource bytes) : base(rows, columns)
    {
        Type = type;
        RowBytes = (int)type.RowBytes(columns);
        _bytes = bytes;
    }

    /// <summary>A matrix in a file.</summary>
    /// <param name="columns">Elements in a row: whole blocks.</param>
    /// <param name="file">The file, which must stay open for as long as the tensor is used.</param>
    /// <param name="offset">Where the first row begins, in bytes, of any alignment.</param>
    /// <exception cref="TensorTypeException">The type is not read.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The matrix is not all in the file, or a row is not of whole blocks.</exception>
    public static Tensor Create(GgmlType type, int rows, int columns, MappedFile file, long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        return Create(type, rows, columns, file.Length - offset, (start, count) => file.Slice<byte>(offset + start, count), Floats);

        ReadOnlyMemory<float> Floats(int count) => file.Slice<float>(offset, count);
    }

    /// <summary>A matrix in memory, its rows one behind the other.</summary>
    /// <exception cref="TensorTypeException">The type is not read.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are too few bytes, or a row is not of whole blocks.</exception>
    public static Tensor Create(GgmlType type, int rows, int columns, ReadOnlyMemory<byte> bytes) =>
        Create(type, rows, columns, bytes.Length, (start, count) => bytes.Slice((int)start, count), floats: null);

    private static Tensor Create(
        GgmlType type, int rows, int columns, long length, BytesSource bytes, Func<int, ReadOnlyMemory<float>>? floats)
    {
        if (!type.IsReadable)
            throw new TensorTypeException(type);
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        ArgumentOutOfRangeException.ThrowIfNotEqual(columns % type.BlockElements, 0, nameof(columns));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(type.RowBytes(columns), int.MaxValue, nameof(columns));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows * type.RowBytes(columns), length, nameof(rows));
        if (type.Unpack is not null)
            return new BlockTensor(type, rows, columns, bytes);
        return type == GgmlType.F32 && floats is not null && (long)rows * columns <= int.MaxValue
            ? new Float32Tensor(rows, columns, floats(rows * columns))
            : new FloatRowsTensor(type, rows, columns, bytes);
    }

    public GgmlType Type { get; }
    public int RowBytes { get; }

    public override string Describe() => Type.Name;
    public override long Bytes => (long)Rows * RowBytes;

    /// <summary>The bytes of a row.</summary>
    public ReadOnlyMemory<byte> Row(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows, nameof(row));
        return _bytes((long)row * RowBytes, RowBytes);
    }

    public override void VisitBytes(int size, BytesVisitor visitor)
    {
        for (long start = 0; start < Bytes; start += size)
            visitor(_bytes(start, (int)Math.Min(size, Bytes - start)).Span);
    }
}

/// <summary>A type of tensor that this project does not read.</summary>
public sealed class TensorTypeException(GgmlType type)
    : Exception($"{type.Name} is not read; requantise the model to one of {Readable}")
{
    /// <summary>The types that are read, for messages.</summary>
    public static string Readable { get; } = string.Join(", ", GgmlType.All.Where(type => type.IsReadable));

    public GgmlType Type { get; } = type;
}
