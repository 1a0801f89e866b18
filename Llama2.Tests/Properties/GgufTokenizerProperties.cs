using System.Text;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;

namespace Llama2.Tests.Properties;

/// <summary>What holds for every text and every vocabulary that a GGUF file may hold.</summary>
public sealed class GgufTokenizerProperties
{
    [Fact]
    public void Byte_pairs_give_back_any_bytes_and_the_twins_agree()
    {
        BytePairTokenizer tokenizer = Vocabularies.Small();
        FastBytePairTokenizer fast = new(tokenizer);
        Property.Holds(Texts.Bytes, Shrinking.Shorter, bytes => Assert.Equal(bytes, Bytes(tokenizer, Check(tokenizer, fast, bytes))),
            tests: 3000);
    }

    [Fact]
    public void Sentencepiece_gives_back_any_bytes_without_its_own_blank_and_the_twins_agree()
    {
        SentencePieceTokenizer tokenizer = Vocabularies.SentencePiece(Repository.Golden("tok512-tales.model"));
        FastSentencePieceTokenizer fast = new(tokenizer);
        Property.Holds(Texts.Bytes, Shrinking.Shorter, bytes =>
        {
            int[] ids = Check(tokenizer, fast, bytes);
            if (bytes.AsSpan().IndexOf("\u2581"u8) < 0)
                Assert.Equal(bytes, Bytes(tokenizer, ids));
        }, tests: 3000);
    }

    /// <summary>A text and a vocabulary, of few letters both.</summary>
    private sealed record Merging(string[] Text, int Seed, bool ByteTokens, bool AddsBlank, bool RemovesBlanks)
    {
        public static readonly Gen<Merging> Any =
            from text in Texts.FewLetters
            from seed in Gen.Choose(1, 1_000_000)
            from byteTokens in Gen.Elements(true, false)
            from addsBlank in Gen.Elements(true, false)
            from removesBlanks in Gen.Elements(true, false)
            select new Merging(text, seed, byteTokens, addsBlank, removesBlanks);

        public IEnumerable<Merging> Shrink() => Shrinking.Shorter(Text).Select(text => this with { Text = text });

        public byte[] Utf8 => Encoding.UTF8.GetBytes(string.Concat(Text));
    }

    [Fact]
    public void Sentencepiece_twins_agree_for_any_vocabulary()
    {
        Property.Holds(Merging.Any, x => x.Shrink(), x =>
        {
            SentencePieceTokenizer tokenizer = RandomSentencePiece(x);
            int[] ids = Check(tokenizer, new FastSentencePieceTokenizer(tokenizer), x.Utf8);
            if (x.ByteTokens && !x.RemovesBlanks)
                Assert.Equal(x.Utf8, Bytes(tokenizer, ids));
        }, tests: 3000);
    }

    [Fact]
    public void Byte_pair_twins_agree_for_any_merges_in_words_of_any_length()
    {
        Property.Holds(Merging.Any, x => x.Shrink(), x =>
        {
            BytePairTokenizer tokenizer = RandomBytePairs(x.Seed, x.AddsBlank);
            byte[] utf8 = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(string.Concat(x.Text), 1 + (x.Seed % 9))));
            Assert.Equal(utf8, Bytes(tokenizer, Check(tokenizer, new FastBytePairTokenizer(tokenizer), utf8)));
        }, tests: 3000);
    }

    // .NET's regular expressions are right about texts without surrogates, and ignore case by a table without the long s.
    private static readonly (TextSplitter Splitter, string Pattern)[] Patterns =
    [
        (TextSplitter.Llama3, @"'(?:[sStTmMdD\u017f]|[rR][eE]|[vV][eE]|[lL][lL])"
            + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        (TextSplitter.Gpt2, @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
    ];

    [Fact]
    public void Words_are_those_of_the_regular_expressions()
    {
        Property.Holds(Texts.Parts, Shrinking.Shorter, parts =>
        {
            string text = string.Concat(string.Concat(parts).Where(c => !char.IsSurrogate(c)));
            foreach ((TextSplitter splitter, string pattern) in Patterns)
                Assert.Equal(Regex.Matches(text, pattern, RegexOptions.CultureInvariant).Select(word => word.Value), Words(splitter, text));
            // SmolLM's two steps: digits alone, then GPT-2's words of each part
            IEnumerable<string> digits = Regex.Matches(text, @"\p{N}|\P{N}+").Select(part => part.Value);
            IEnumerable<string> words = digits.SelectMany(part => Regex.Matches(part, Patterns[1].Pattern).Select(word => word.Value));
            Assert.Equal(words, Words(TextSplitter.SmolLm, text));
        }, tests: 5000);
    }

    [Theory]
    [InlineData("a  1", "a| | 1", "a|  |1")]
    [InlineData("x 12", "x| 12", "x| |1|2")]
    [InlineData("12  \n3", "12|  |\n|3", "1|2|  \n|3")]
    public void Smollm_takes_digits_one_by_one_and_blanks_before_them_together(string text, string gpt2, string smollm)
    {
        Assert.Equal(gpt2, string.Join('|', Words(TextSplitter.Gpt2, text)));
        Assert.Equal(smollm, string.Join('|', Words(TextSplitter.SmolLm, text)));
    }

    [Theory]
    [InlineData("𝕳𝖊 𝟙𝟚𝟛𝟜", "𝕳𝖊| |𝟙𝟚𝟛|𝟜")] // letters and digits beyond U+FFFF
    [InlineData("\U00020BB7野", "\U00020BB7野")]
    [InlineData("it'\u017F", "it|'\u017F")]
    public void Llama_3s_words_are_made_of_code_points(string text, string words) =>
        Assert.Equal(words, string.Join('|', Words(TextSplitter.Llama3, text)));

    private static List<string> Words(TextSplitter splitter, string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        List<string> words = [];
        int start = 0;
        foreach (int length in splitter.Split(utf8))
        {
            words.Add(Encoding.UTF8.GetString(utf8, start, length));
            start += length;
        }
        Assert.Equal(utf8.Length, start);
        return words;
    }

    private static SentencePieceTokenizer RandomSentencePiece(Merging x)
    {
        Random random = new(x.Seed);
        string[] letters = ["a", "b", "c", "é", "你", "\u2581"];
        float[] scores = [0, -0f, -1, -1, -2, 3, 1e9f, float.NaN, float.NegativeInfinity, float.PositiveInfinity];
        string[] words = [.. Enumerable.Range(0, random.Next(60)).Select(_ => string.Concat(random.GetItems(letters, random.Next(2, 6))))];
        string[] bytes = [.. Enumerable.Range(0, x.ByteTokens ? 256 : 0).Select(b => $"<0x{b:X2}>")];
        string[] pieces = ["<unk>", "ab", "bc", .. bytes, .. letters, .. words]; // BOS and EOS that text could spell
        PieceType[] types = [PieceType.Unknown, PieceType.Control, PieceType.Control, .. bytes.Select(_ => PieceType.Byte),
            .. letters.Select(_ => PieceType.Normal),
            .. words.Select(_ => random.Next(8) == 0 ? PieceType.UserDefined : random.Next(8) == 0 ? PieceType.Control : PieceType.Normal)];
        return new SentencePieceTokenizer(
            new Vocabulary([.. pieces.Select(Encoding.UTF8.GetBytes)], types, 1, [2]), pieces.Select(_ => random.GetItems(scores, 1)[0]))
        {
            AddsBlank = x.AddsBlank,
            RemovesBlanks = x.RemovesBlanks,
        };
    }

    private static BytePairTokenizer RandomBytePairs(int seed, bool ignoresMerges)
    {
        Random random = new(seed);
        List<byte[]> pieces = [.. Enumerable.Range(0, 256).Select(b => new[] { (byte)b })];
        List<(int, int, int)> merges = [];
        List<bool> controls = [.. pieces.Select(_ => false)];
        for (int i = random.Next(40); i > 0; i--)
        {
            int[] pair = random.GetItems([.. "abc é你"u8.ToArray().Select(b => (int)b), .. Enumerable.Range(256, pieces.Count - 256)], 2);
            merges.Add((pair[0], pair[1], pieces.Count));
            controls.Add(random.Next(9) == 0);
            pieces.Add([.. pieces[pair[0]], .. pieces[pair[1]]]);
        }
        pieces.Add("<s>"u8.ToArray());
        pieces.Add("ab"u8.ToArray());
        PieceType[] types = [.. controls.Select(isControl => isControl ? PieceType.Control : PieceType.Normal),
            PieceType.Control, random.Next(2) == 0 ? PieceType.UserDefined : PieceType.Control];
        return new BytePairTokenizer(
            new Vocabulary(pieces, types, pieces.Count - 2, [pieces.Count - 2]), merges, TextSplitter.Llama3, ignoresMerges);
    }

    /// <summary>The ids of a text, the same from both twins, in range, with no end token and no control token among them.</summary>
    private static int[] Check(ITokenizer tokenizer, ITokenizer fast, byte[] utf8)
    {
        int[] ids = tokenizer.Encode(utf8);
        Assert.Equal(ids, fast.Encode(utf8));
        Assert.Equal(tokenizer.Bos, ids[0]);
        Assert.All(ids[1..], id =>
        {
            Assert.InRange(id, 0, tokenizer.VocabSize - 1);
            Assert.False(tokenizer.IsEnd(id));
            Assert.False(tokenizer.Decode(-1, id).IsEmpty); // as it is for control tokens
        });
        return ids;
    }

    private static byte[] Bytes(ITokenizer tokenizer, int[] ids) =>
        [.. ids.Zip(ids.Skip(1)).SelectMany(pair => tokenizer.Decode(pair.First, pair.Second).ToArray())];
}
