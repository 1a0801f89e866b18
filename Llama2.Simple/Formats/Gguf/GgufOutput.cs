using System.Buffers.Binary;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>Where a GGUF file is written to. It counts the bytes, since not every stream can tell how many it has.</summary>
public sealed class GgufOutput(Stream stream)
{
    public long Length { get; private set; } // bytes so far

    internal IProgress<long>? Progress { get; set; } // gets the length after each write

    public void Write(ReadOnlySpan<byte> bytes)
    {
        stream.Write(bytes);
        Length += bytes.Length;
        Progress?.Report(Length);
    }

    internal void UInt32(uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        Write(bytes);
    }

    internal void UInt64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Write(bytes);
    }

    internal void Float32(float value) => UInt32(BitConverter.SingleToUInt32Bits(value));

    /// <summary>A text: its length, and its bytes.</summary>
    internal void String(ReadOnlySpan<byte> utf8)
    {
        UInt64((ulong)utf8.Length);
        Write(utf8);
    }
}
