using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Llama2.Tests.Properties;

/// <summary>Unicode text of all kinds, and bytes that are none.</summary>
internal static class Texts
{
    /// <summary>What a user may type to reach special tokens, and what tokenizers treat in a special way.</summary>
    private static readonly string[] Odd =
        ["<s>", "</s>", "\n<s>\n", "\n</s>\n", "<unk>", "<0x0A>", "<0x", "  ", "\n\n\n", "\0", "\t", "\u2581", "\uFFFD", "\uFEFF",
            "e\u0301", "👨‍👩‍👧", "שלום", "你好",
            "<|eot_id|>", "[INST]", "'s", "'RE", "'\u017F", "1234", "\r\n", " \n ", "\u3000", "\u0085", "𝕳𝖊", "𝟙𝟚", "١٢"];

    private static readonly string[] Words =
        ["Once upon a time", ", there was", " a", "little", " girl", "named", "Lily", "the", " ", "ing", "th", "he", "er", "on", ".", "\n"];

    private static readonly Gen<string> Part = Gen.Frequency(
        (6, Gen.Elements(Words)),
        (2, Gen.Choose(0x20, 0x7e).Select(c => ((char)c).ToString())),
        (1, Gen.Choose(0, 0x7ff).Select(c => ((char)c).ToString())),
        (1, Gen.Choose(0x800, 0xd7ff).Select(c => ((char)c).ToString())),
        (1, Gen.Choose(0x10000, 0x10ffff).Select(char.ConvertFromUtf32)),
        (1, Gen.Elements(Odd)));

    /// <summary>Texts without lone surrogates, as parts that shrink to fewer.</summary>
    public static readonly Gen<string[]> Parts = Part.ArrayOf();

    private static readonly Gen<byte[]> Chunk = Gen.Frequency(
        (3, Part.Select(Encoding.UTF8.GetBytes)),
        (2, Gen.Choose(0x80, 0xbf).Select(b => new[] { (byte)b })),
        (1, Gen.Elements(0xc0, 0xc2, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf8, 0xff).Select(b => new[] { (byte)b })),
        (1, Gen.Choose(0, 255).Select(b => new[] { (byte)b })));

    /// <summary>Bytes of which some are UTF-8.</summary>
    public static readonly Gen<byte[]> Bytes = Chunk.ArrayOf().Select(chunks => chunks.SelectMany(chunk => chunk).ToArray());

    /// <summary>
    /// Vocabularies over few letters and fewer scores, so that many merges compete and tie. With
    /// <paramref name="byteTokens"/> and " " in them, or without.
    /// </summary>
    public static Tokenizer RandomTokenizer(int seed, bool byteTokens, bool blank)
    {
        Random random = new(seed);
        string[] letters = ["a", "b", "c", "é", "你", .. blank ? [" "] : Array.Empty<string>()];
        float[] scores = [0, -0f, -1, -1, -2, 3, 1e9f, -1e9f, -1e11f, float.NaN, float.NegativeInfinity, float.PositiveInfinity];
        IEnumerable<string> words = Enumerable.Range(0, random.Next(60))
            .Select(_ => string.Concat(random.GetItems(letters, random.Next(2, 6))));
        IEnumerable<string> bytes = byteTokens ? Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>") : [];
        return new Tokenizer(new[] { "<unk>", "ab", "bc" } // BOS and EOS that text could spell
            .Concat(bytes).Concat(letters).Concat(words)
            .Select(piece => (Encoding.UTF8.GetBytes(piece), random.GetItems(scores, 1)[0])));
    }

    /// <summary>Text over the letters of <see cref="RandomTokenizer"/>.</summary>
    public static readonly Gen<string[]> FewLetters = Gen.Elements("a", "b", "c", "é", "你", " ", "ab", "d").ArrayOf();
}
