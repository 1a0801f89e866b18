using System.Globalization;
using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>Columns that text takes on a terminal: two for East Asian wide characters and emoji, none for combining marks.</summary>
internal static class TextWidth
{
    private const char EmojiStyle = '\ufe0f';

    // East_Asian_Width W and F of Unicode 16, neighbouring ranges joined
    private static readonly (int First, int Last)[] Wide =
    [
        (0x1100, 0x115f), (0x231a, 0x231b), (0x2329, 0x232a), (0x23e9, 0x23ec), (0x23f0, 0x23f0), (0x23f3, 0x23f3), (0x25fd, 0x25fe),
        (0x2614, 0x2615), (0x2630, 0x2637), (0x2648, 0x2653), (0x267f, 0x267f), (0x268a, 0x268f), (0x2693, 0x2693), (0x26a1, 0x26a1),
        (0x26aa, 0x26ab), (0x26bd, 0x26be), (0x26c4, 0x26c5), (0x26ce, 0x26ce), (0x26d4, 0x26d4), (0x26ea, 0x26ea), (0x26f2, 0x26f3),
        (0x26f5, 0x26f5), (0x26fa, 0x26fa), (0x26fd, 0x26fd), (0x2705, 0x2705), (0x270a, 0x270b), (0x2728, 0x2728), (0x274c, 0x274c),
        (0x274e, 0x274e), (0x2753, 0x2755), (0x2757, 0x2757), (0x2795, 0x2797), (0x27b0, 0x27b0), (0x27bf, 0x27bf), (0x2b1b, 0x2b1c),
        (0x2b50, 0x2b50), (0x2b55, 0x2b55), (0x2e80, 0x303e), (0x3041, 0xa4cf), (0xa960, 0xa97c), (0xac00, 0xd7a3), (0xf900, 0xfaff),
        (0xfe10, 0xfe19), (0xfe30, 0xfe6b), (0xff01, 0xff60), (0xffe0, 0xffe6), (0x16fe0, 0x18cff), (0x1aff0, 0x1b2fb),
        (0x1f004, 0x1f004), (0x1f0cf, 0x1f0cf), (0x1f18e, 0x1f18e), (0x1f191, 0x1f19a), (0x1f1e6, 0x1f320), (0x1f32d, 0x1f335),
        (0x1f337, 0x1f37c), (0x1f37e, 0x1f393), (0x1f3a0, 0x1f3ca), (0x1f3cf, 0x1f3d3), (0x1f3e0, 0x1f3f0), (0x1f3f4, 0x1f3f4),
        (0x1f3f8, 0x1f43e), (0x1f440, 0x1f440), (0x1f442, 0x1f4fc), (0x1f4ff, 0x1f53d), (0x1f54b, 0x1f567), (0x1f57a, 0x1f57a),
        (0x1f595, 0x1f596), (0x1f5a4, 0x1f5a4), (0x1f5fb, 0x1f64f), (0x1f680, 0x1f6c5), (0x1f6cc, 0x1f6cc), (0x1f6d0, 0x1f6d2),
        (0x1f6d5, 0x1f6df), (0x1f6eb, 0x1f6ec), (0x1f6f4, 0x1f6fc), (0x1f7e0, 0x1f7f0), (0x1f90c, 0x1f93a), (0x1f93c, 0x1f945),
        (0x1f947, 0x1f9ff), (0x1fa70, 0x1faff), (0x20000, 0x3fffd),
    ];

    /// <summary>Columns of the whole text, in which there are no control characters.</summary>
    public static int Of(string text)
    {
        int width = 0;
        for (int at = 0, length; at < text.Length; at += length)
        {
            length = StringInfo.GetNextTextElementLength(text, at);
            Rune.DecodeFromUtf16(text.AsSpan(at), out Rune first, out _);
            width += length > 1 && text.AsSpan(at, length).Contains(EmojiStyle) ? 2 : Of(first);
        }
        return width;
    }

    /// <summary>Lines broken at blanks to fit so many columns, each indented as the line it was. A longer word stays whole.</summary>
    public static string Wrap(string text, int columns) =>
        string.Join('\n', text.Split('\n').Select(line => Of(line) <= columns ? line : WrapLine(line, columns)));

    private static string WrapLine(string line, int columns)
    {
        int indent = line.Length - line.TrimStart(' ').Length;
        return line[..indent] + Wrap(line[indent..], columns, indent, indent);
    }

    /// <summary>Words broken at blanks to fit so many columns.</summary>
    /// <param name="used">Columns of what is before them in their line.</param>
    /// <param name="indent">Blanks before each line after the first.</param>
    /// <param name="atBreak">What ends each line before the last.</param>
    public static string Wrap(string words, int columns, int used, int indent, string atBreak = "")
    {
        StringBuilder wrapped = new(words.Length * 2);
        int start = used; // of the line
        foreach (string word in words.Split(' '))
        {
            int width = Of(word);
            if (used > start && used + 1 + width + atBreak.Length > columns)
            {
                while (wrapped[^1] == ' ')
                    wrapped.Length--;
                wrapped.Append(atBreak).Append('\n').Append(' ', indent);
                used = start = indent;
            }
            else if (used > start)
            {
                wrapped.Append(' ');
                used++;
            }
            wrapped.Append(word);
            used += width;
        }
        return wrapped.ToString();
    }

    public static int Of(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format ? 0
        : Array.Exists(Wide, range => rune.Value >= range.First && rune.Value <= range.Last) ? 2 : 1;
}
