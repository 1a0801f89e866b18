using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// How GPT-2's vocabularies write bytes: a printable character of Latin-1 stands for its own byte, and the other 68 bytes are U+0100 and
/// those that follow, in order. So " the" is written "Ġthe".
/// </summary>
public static class ByteCharacters
{
    private const int End = 0x100 + 68; // of the characters in use

    private static readonly byte?[] Bytes = Enumerate(); // by character

    /// <summary>The bytes that a piece is written for, or null where a character stands for none.</summary>
    public static byte[]? Decode(ReadOnlySpan<byte> utf8)
    {
        Span<byte> bytes = new byte[utf8.Length];
        int count = 0;
        while (!utf8.IsEmpty)
        {
            Rune.DecodeFromUtf8(utf8, out Rune rune, out int length); // U+FFFD where it is no UTF-8
            if (rune.Value >= End || Bytes[rune.Value] is not { } value)
                return null;
            bytes[count++] = value;
            utf8 = utf8[length..];
        }
        return bytes[..count].ToArray();
    }

    private static byte?[] Enumerate()
    {
        byte?[] bytes = new byte?[End];
        int next = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool isPrintable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            bytes[isPrintable ? value : next++] = (byte)value;
        }
        return bytes;
    }
}
