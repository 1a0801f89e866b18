using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// Turns the bytes of tokens into text as they come. A character whose bytes are spread over several tokens appears with the last of
/// them; bytes that are no UTF-8 become U+FFFD.
/// </summary>
public sealed class TextStream
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    public string Append(ReadOnlySpan<byte> bytes) => Decode(bytes, flush: false);
    public string Flush() => Decode([], flush: true); // at the end: U+FFFD for a character that was never completed

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        char[] chars = new char[_decoder.GetCharCount(bytes, flush)];
        return new string(chars, 0, _decoder.GetChars(bytes, chars, flush));
    }

    /// <summary>
    /// run.c's <c>safe_printf</c>: whether a piece may go to a terminal. A lone control character may not, unless it is white space.
    /// (run.c drops lone bytes from 0x80 on as well, and so every character that is not in the vocabulary.)
    /// </summary>
    public static bool IsSafe(ReadOnlySpan<byte> piece) => piece is not [< 0x20 or 0x7f] or [(>= (byte)'\t' and <= (byte)'\r')];
}
