using System.Buffers.Binary;
using System.Text;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>Reads what precedes the tensors' data in a GGUF file, first to last. Every length is checked before it is used.</summary>
/// <param name="bytes">The file from its beginning, as far as it may be metadata.</param>
/// <param name="path">The file's name, for messages.</param>
/// <param name="limit">What is missing where the bytes end, for messages.</param>
internal sealed class GgufReader(ReadOnlyMemory<byte> bytes, string path, string limit)
{
    private const int MaxShown = 64; // characters of a text that a message quotes

    public int Position { get; set; } // in bytes
    public bool IsWide { get; set; }  // lengths and counts have 64 bits, as from version 2 on
    private int Left => bytes.Length - Position;

    public byte UInt8(string field) => Take(1, field)[0];
    public uint UInt32(string field) => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint), field));
    public ulong UInt64(string field) => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong), field));
    public ulong Count(string field) => IsWide ? UInt64(field) : UInt32(field);

    /// <summary>A count of things that take at least so many bytes each.</summary>
    /// <exception cref="ModelFileException">Fewer bytes are left.</exception>
    public int Count(string field, int minBytes)
    {
        ulong count = Count(field);
        return count <= (ulong)(Left / minBytes)
            ? (int)count
            : throw Error(field, $"at most the {Left / minBytes} that fit into {Left} bytes {limit}", $"{count}");
    }

    /// <summary>A text: its length, and so many bytes, which need not be UTF-8.</summary>
    public ReadOnlyMemory<byte> String(string field)
    {
        ulong length = Count(field);
        if (length > (ulong)Left)
            throw Error(field, $"a length of at most the {Left} bytes {limit}", $"{length}");
        Position += (int)length;
        return bytes.Slice(Position - (int)length, (int)length);
    }

    public ReadOnlySpan<byte> Take(int count, string field)
    {
        if (count > Left)
            throw Error(field, $"{count} bytes", $"the {Left} bytes {limit}");
        Position += count;
        return bytes.Span.Slice(Position - count, count);
    }

    public ModelFileException Error(string field, string expected, string found) => new(path, field, expected, found);

    /// <summary>A text for messages: short, in one line.</summary>
    public static string Shown(ReadOnlySpan<byte> text) => Shown(Encoding.UTF8.GetString(text[..Math.Min(text.Length, 4 * MaxShown)]));

    public static string Shown(string text)
    {
        string shown = string.Concat(text.Take(MaxShown + 1).Select(c => char.IsControl(c) || c is '\u2028' or '\u2029' ? '\ufffd' : c));
        return shown.Length > MaxShown ? shown[..MaxShown] + "..." : shown;
    }
}
