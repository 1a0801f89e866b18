using System.Text;
using Llama2.Simple.Tensors;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>
/// Writes a GGUF file of version 3: first what it is to hold is listed, then <see cref="Write"/> asks for the tensors' bytes one tensor
/// after the other, so that no more than one is in memory.
/// </summary>
public sealed class GgufWriter
{
    private const int Version = 3, Alignment = 32;

    private readonly List<Action<GgufOutput>> _metadata = []; // each writes a key with its value
    private readonly List<(string Name, long[] Dimensions, GgmlType Type, Action<GgufOutput> Data)> _tensors = [];

    public void Add(string key, string value) => Add(key, GgufValueType.Text, output => output.String(Encoding.UTF8.GetBytes(value)));
    public void Add(string key, uint value) => Add(key, GgufValueType.U32, output => output.UInt32(value));
    public void Add(string key, float value) => Add(key, GgufValueType.F32, output => output.Float32(value));
    public void Add(string key, bool value) => Add(key, GgufValueType.Bool, output => output.Write([value ? (byte)1 : (byte)0]));

    /// <summary>An array of texts, as bytes.</summary>
    public void Add(string key, IReadOnlyList<byte[]> values) =>
        AddArray(key, GgufValueType.Text, values, (output, value) => output.String(value));

    public void Add(string key, IReadOnlyList<float> values) =>
        AddArray(key, GgufValueType.F32, values, (output, value) => output.Float32(value));

    public void Add(string key, IReadOnlyList<int> values) =>
        AddArray(key, GgufValueType.I32, values, (output, value) => output.UInt32((uint)value));

    /// <summary>A value as another file has it, which must stay open until it is written.</summary>
    public void Add(string key, GgufMetadata metadata) =>
        Add(key, metadata.TypeOf(key)!.Value, output => metadata.CopyValue(key, output));

    /// <summary>Lists a tensor.</summary>
    /// <param name="dimensions">Sizes, the fastest first: columns, then rows.</param>
    /// <param name="data">Writes its bytes, as many as type and sizes say.</param>
    public void AddTensor(string name, GgmlType type, long[] dimensions, Action<GgufOutput> data) =>
        _tensors.Add((name, dimensions, type, data));

    /// <summary>Writes the whole file.</summary>
    /// <param name="stream">Receives it.</param>
    /// <param name="progress">Gets the bytes written so far, after each part of a tensor.</param>
    /// <exception cref="InvalidOperationException">A tensor had another number of bytes than its type and sizes say.</exception>
    public void Write(Stream stream, IProgress<long>? progress = null)
    {
        GgufOutput output = new(stream);
        WriteHeader(output);
        output.Progress = progress;
        foreach ((string name, long[] dimensions, GgmlType type, Action<GgufOutput> data) in _tensors)
        {
            long end = output.Length + Bytes(dimensions, type);
            data(output);
            if (output.Length != end)
                throw new InvalidOperationException($"{name} ended at byte {output.Length}, not {end}");
            Pad(output); // as llama.cpp's writer, behind the last one too
        }
    }

    /// <summary>Bytes of the whole file.</summary>
    public long Length
    {
        get
        {
            GgufOutput header = new(Stream.Null);
            WriteHeader(header);
            return header.Length + _tensors.Sum(tensor => Padded(Bytes(tensor.Dimensions, tensor.Type)));
        }
    }

    // All that precedes the tensors' data.
    private void WriteHeader(GgufOutput output)
    {
        output.Write(GgufFile.Magic);
        output.UInt32(Version);
        output.UInt64((ulong)_tensors.Count);
        output.UInt64((ulong)_metadata.Count);
        _metadata.ForEach(value => value(output));
        long offset = 0;
        foreach ((string name, long[] dimensions, GgmlType type, _) in _tensors)
        {
            output.String(Encoding.UTF8.GetBytes(name));
            output.UInt32((uint)dimensions.Length);
            foreach (long size in dimensions)
                output.UInt64((ulong)size);
            output.UInt32(type.Id);
            output.UInt64((ulong)offset);
            offset = Padded(offset + Bytes(dimensions, type));
        }
        Pad(output);
    }

    private void Add(string key, GgufValueType type, Action<GgufOutput> value) => _metadata.Add(output =>
    {
        output.String(Encoding.UTF8.GetBytes(key));
        output.UInt32((uint)type);
        value(output);
    });

    private void AddArray<T>(string key, GgufValueType type, IReadOnlyList<T> values, Action<GgufOutput, T> value) =>
        Add(key, GgufValueType.Array, output =>
        {
            output.UInt32((uint)type);
            output.UInt64((ulong)values.Count);
            foreach (T each in values)
                value(output, each);
        });

    private static long Bytes(long[] dimensions, GgmlType type) =>
        dimensions.Aggregate((long)type.BlockBytes, (product, size) => checked(product * size)) / type.BlockElements;

    private static long Padded(long length) => (length + Alignment - 1) & -Alignment;

    private static void Pad(GgufOutput output)
    {
        Span<byte> zeros = stackalloc byte[Alignment];
        zeros.Clear();
        output.Write(zeros[..(int)(Padded(output.Length) - output.Length)]);
    }
}
