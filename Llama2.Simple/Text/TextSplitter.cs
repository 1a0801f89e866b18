using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// Cuts text into words, which byte pair encoding takes one by one. It works on code points, since a regular expression of .NET sees the
/// letters and digits beyond U+FFFF as two halves that are neither. A byte that is no UTF-8 counts as U+FFFD does: no letter, no
/// digit, no white space.
/// </summary>
public sealed class TextSplitter
{
    private delegate int Rule(ReadOnlySpan<Character> text, int start); // where the word ends that begins there

    private readonly Rule _rule;

    private TextSplitter(Rule rule) => _rule = rule;

    /// <summary>
    /// Llama 3's:
    /// <c>(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>.
    /// </summary>
    public static TextSplitter Llama3 { get; } = new(Llama3Word);

    /// <summary>GPT-2's: <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.</summary>
    public static TextSplitter Gpt2 { get; } = new(Gpt2Word);

    /// <summary>SmolLM's: each digit alone, and GPT-2's for what lies between, as if it were all.</summary>
    public static TextSplitter SmolLm { get; } = new(SmolLmWord);

    /// <summary>The lengths in bytes of the words of a text, which cover it.</summary>
    public List<int> Split(ReadOnlySpan<byte> utf8)
    {
        List<Character> characters = new(utf8.Length);
        for (int at = 0; at < utf8.Length;)
        {
            Rune.DecodeFromUtf8(utf8[at..], out Rune rune, out int length); // U+FFFD where it is no UTF-8
            characters.Add(new Character(rune, length));
            at += length;
        }
        ReadOnlySpan<Character> text = CollectionsMarshal.AsSpan(characters);
        List<int> lengths = [];
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = _rule(text, start);
            int bytes = 0;
            foreach (Character character in text[start..end])
                bytes += character.Bytes;
            lengths.Add(bytes);
        }
        return lengths;
    }

    /// <summary>A code point and its length in UTF-8.</summary>
    private readonly struct Character(Rune rune, int bytes)
    {
        public Rune Rune { get; } = rune;
        public int Bytes { get; } = bytes;

        public bool IsLetter { get; } =
            Rune.GetUnicodeCategory(rune) is >= UnicodeCategory.UppercaseLetter and <= UnicodeCategory.OtherLetter;

        public bool IsNumber { get; } =
            Rune.GetUnicodeCategory(rune) is >= UnicodeCategory.DecimalDigitNumber and <= UnicodeCategory.OtherNumber;

        public bool IsSpace { get; } = Rune.IsWhiteSpace(rune);
        public bool IsLineEnd => Rune.Value is '\r' or '\n';
        public bool IsOther => !IsLetter && !IsNumber && !IsSpace;
    }

    private static int Llama3Word(ReadOnlySpan<Character> text, int start)
    {
        Character first = text[start];
        if (Contraction(text, start, ignoreCase: true) is > 0 and int contraction)
            return contraction;
        if (first.IsLetter)
            return Run(text, start, c => c.IsLetter);
        bool isBeforeLetter = start + 1 < text.Length && text[start + 1].IsLetter;
        if (isBeforeLetter && !first.IsNumber && !first.IsLineEnd)
            return Run(text, start + 1, c => c.IsLetter);
        if (first.IsNumber)
            return Run(text[..Math.Min(start + 3, text.Length)], start, c => c.IsNumber);
        int other = start + (first.Rune.Value == ' ' ? 1 : 0), afterOther = Run(text, other, c => c.IsOther);
        if (afterOther > other)
            return Run(text, afterOther, c => c.IsLineEnd);
        int spaces = Run(text, start, c => c.IsSpace), line = spaces;
        while (line > start && !text[line - 1].IsLineEnd)
            line--;
        return line > start ? line : Spaces(text, start, spaces);
    }

    private static int Gpt2Word(ReadOnlySpan<Character> text, int start)
    {
        if (Contraction(text, start, ignoreCase: false) is > 0 and int contraction)
            return contraction;
        int word = start + (text[start].Rune.Value == ' ' ? 1 : 0);
        if (Run(text, word, c => c.IsLetter) is var letters && letters > word)
            return letters;
        if (Run(text, word, c => c.IsNumber) is var numbers && numbers > word)
            return numbers;
        if (Run(text, word, c => c.IsOther) is var others && others > word)
            return others;
        return Spaces(text, start, Run(text, start, c => c.IsSpace));
    }

    private static int SmolLmWord(ReadOnlySpan<Character> text, int start)
    {
        if (text[start].IsNumber)
            return start + 1;
        int spaces = Run(text, start, c => c.IsSpace);
        bool areAtEnd = spaces > start && spaces < text.Length && text[spaces].IsNumber;
        return areAtEnd ? spaces : Gpt2Word(text, start);
    }

    // Where a run of these characters ends.
    private static int Run(ReadOnlySpan<Character> text, int start, Func<Character, bool> belongs)
    {
        int end = start;
        while (end < text.Length && belongs(text[end]))
            end++;
        return end;
    }

    // White space without its last character, which belongs to the word behind it, unless it is all there is.
    private static int Spaces(ReadOnlySpan<Character> text, int start, int end) =>
        end < text.Length && end - start > 1 ? end - 1 : end;

    // Where an English contraction ends, or 0. The long s (U+017F) is a small s to whoever ignores case.
    private static int Contraction(ReadOnlySpan<Character> text, int start, bool ignoreCase)
    {
        if (text[start].Rune.Value != '\'')
            return 0;
        ReadOnlySpan<char> letters = [Letter(text, start + 1), Letter(text, start + 2)];
        return letters switch
        {
            ['s' or 't' or 'm' or 'd', _] => start + 2,
            ['r' or 'v', 'e'] or ['l', 'l'] => start + 3,
            _ => 0,
        };

        char Letter(ReadOnlySpan<Character> text, int at) => at >= text.Length ? '\0' : text[at].Rune.Value switch
        {
            0x17F when ignoreCase => 's',
            >= 'A' and <= 'Z' and var capital when ignoreCase => (char)(capital - 'A' + 'a'),
            var value => value < 0x80 ? (char)value : '\0',
        };
    }
}
