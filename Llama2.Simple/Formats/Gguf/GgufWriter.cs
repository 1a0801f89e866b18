using System.Buffers.Binary;
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

    private readonly List<Action<Stream>> _metadata = []; // each writes a key with its value
    private readonly List<(string Name, long[] Dimensions, GgmlType Type, Action<Stream> Data)> _tensors = [];

    public void Add(string key, string value) => Add(key, GgufValueType.Text, stream => String(stream, Encoding.UTF8.GetBytes(value)));
    public void Add(string key, uint value) => Add(key, GgufValueType.U32, stream => UInt32(stream, value));
    public void Add(string key, float value) => Add(key, GgufValueType.F32, stream => Float32(stream, value));
    public void Add(string key, bool value) => Add(key, GgufValueType.Bool, stream => stream.WriteByte(value ? (byte)1 : (byte)0));

    /// <summary>An array of texts, as bytes.</summary>
    public void Add(string key, IReadOnlyList<byte[]> values) =>
        AddArray(key, GgufValueType.Text, values, String);

    public void Add(string key, IReadOnlyList<float> values) =>
        AddArray(key, GgufValueType.F32, values, Float32);

    public void Add(string key, IReadOnlyList<int> values) =>
        AddArray(key, GgufValueType.I32, values, (stream, value) => UInt32(stream, (uint)value));

    /// <summary>A value as another file has it, which must stay open until it is written.</summary>
    public void Add(string key, GgufMetadata metadata) =>
        Add(key, metadata.TypeOf(key)!.Value, stream => metadata.CopyValue(key, stream));

    /// <summary>Lists a tensor.</summary>
    /// <param name="dimensions">Sizes, the fastest first: columns, then rows.</param>
    /// <param name="data">Writes its bytes, as many as type and sizes say.</param>
    public void AddTensor(string name, GgmlType type, long[] dimensions, Action<Stream> data) =>
        _tensors.Add((name, dimensions, type, data));

    /// <summary>Writes the whole file.</summary>
    /// <param name="stream">Receives it.</param>
    /// <param name="progress">Gets the bytes written so far, after each part of a tensor.</param>
    /// <exception cref="InvalidOperationException">A tensor had another number of bytes than its type and sizes say.</exception>
    public void Write(Stream stream, IProgress<long>? progress = null)
    {
        using CountingStream counted = new(stream);
        WriteHeader(counted);
        counted.Progress = progress;
        foreach ((string name, long[] dimensions, GgmlType type, Action<Stream> data) in _tensors)
        {
            long end = counted.Length + Bytes(dimensions, type);
            data(counted);
            if (counted.Length != end)
                throw new InvalidOperationException($"{name} ended at byte {counted.Length}, not {end}");
            Pad(counted); // as llama.cpp's writer, behind the last one too
        }
    }

    /// <summary>Bytes of the whole file.</summary>
    public long Length
    {
        get
        {
            using CountingStream header = new(Stream.Null);
            WriteHeader(header);
            return header.Length + _tensors.Sum(tensor => Padded(Bytes(tensor.Dimensions, tensor.Type)));
        }
    }

    // All that precedes the tensors' data.
    private void WriteHeader(CountingStream stream)
    {
        stream.Write(GgufFile.Magic);
        UInt32(stream, Version);
        UInt64(stream, (ulong)_tensors.Count);
        UInt64(stream, (ulong)_metadata.Count);
        _metadata.ForEach(value => value(stream));
        long offset = 0;
        foreach ((string name, long[] dimensions, GgmlType type, _) in _tensors)
        {
            String(stream, Encoding.UTF8.GetBytes(name));
            UInt32(stream, (uint)dimensions.Length);
            foreach (long size in dimensions)
                UInt64(stream, (ulong)size);
            UInt32(stream, type.Id);
            UInt64(stream, (ulong)offset);
            offset = Padded(offset + Bytes(dimensions, type));
        }
        Pad(stream);
    }

    private void Add(string key, GgufValueType type, Action<Stream> value) => _metadata.Add(stream =>
    {
        String(stream, Encoding.UTF8.GetBytes(key));
        UInt32(stream, (uint)type);
        value(stream);
    });

    private void AddArray<T>(string key, GgufValueType type, IReadOnlyList<T> values, Action<Stream, T> value) =>
        Add(key, GgufValueType.Array, stream =>
        {
            UInt32(stream, (uint)type);
            UInt64(stream, (ulong)values.Count);
            foreach (T each in values)
                value(stream, each);
        });

    private static long Bytes(long[] dimensions, GgmlType type) =>
        dimensions.Aggregate((long)type.BlockBytes, (product, size) => checked(product * size)) / type.BlockElements;

    private static long Padded(long length) => (length + Alignment - 1) & -Alignment;

    private static void Pad(CountingStream stream)
    {
        Span<byte> zeros = stackalloc byte[Alignment];
        zeros.Clear();
        stream.Write(zeros[..(int)(Padded(stream.Length) - stream.Length)]);
    }

    private static void String(Stream stream, byte[] utf8)
    {
        UInt64(stream, (ulong)utf8.Length);
        stream.Write(utf8);
    }

    private static void Float32(Stream stream, float value) => UInt32(stream, BitConverter.SingleToUInt32Bits(value));

    private static void UInt32(Stream stream, uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        stream.Write(bytes);
    }

    private static void UInt64(Stream stream, ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        stream.Write(bytes);
    }

    /// <summary>Counts what is written, since the stream behind it may be one that cannot tell.</summary>
    private sealed class CountingStream(Stream stream) : Stream
    {
        private long _length;

        public IProgress<long>? Progress { get; set; } // gets the length after each write

        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => _length;
        public override long Position { get => _length; set => throw new NotSupportedException(); }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            stream.Write(buffer);
            _length += buffer.Length;
            Progress?.Report(_length);
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));
        public override void Flush() => stream.Flush();
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
