using System.Text;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Simple.Text;

/// <summary>What the keys of a GGUF file make of a tokenizer.</summary>
public sealed class GgufTokenizerTests
{
    private const string Prefix = "tokenizer.ggml.";

    private static readonly string[] Letters = [.. Enumerable.Range(0, 256).Select(b => Written((byte)b))];

    // GPT-2's character for a byte.
    private static string Written(byte value) => Enumerable.Range(0x21, 0x144 - 0x21).Select(c => ((char)c).ToString())
        .Single(c => ByteCharacters.Decode(Encoding.UTF8.GetBytes(c)) is [var found] && found == value);

    /// <summary>A file with these keys and nothing else.</summary>
    private static ITokenizer Create(Action<GgufWriter> keys)
    {
        GgufWriter writer = new();
        keys(writer);
        using MemoryStream stream = new();
        writer.Write(stream);
        using TemporaryFile path = new(stream.ToArray());
        using GgufFile file = GgufFile.Open(path.Path);
        return GgufTokenizer.Create(file.Metadata);
    }

    private static void BytePair(GgufWriter writer, string? pre, string[] more, string[] merges)
    {
        string[] pieces = [.. Letters, .. more];
        writer.Add(Prefix + "model", "gpt2");
        if (pre is not null)
            writer.Add(Prefix + "pre", pre);
        writer.Add(Prefix + "tokens", [.. pieces.Select(Encoding.UTF8.GetBytes)]);
        writer.Add(Prefix + "token_type", [.. pieces.Select(piece => (int)(piece.Contains('|') && piece.Length > 1 ? PieceType.Control
            : PieceType.Normal))]);
        writer.Add(Prefix + "merges", [.. merges.Select(Encoding.UTF8.GetBytes)]);
    }

    private static void SentencePiece(GgufWriter writer, params string[] more)
    {
        string[] pieces = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), "\u2581", "a", "b", .. more];
        writer.Add(Prefix + "model", "llama");
        writer.Add(Prefix + "tokens", [.. pieces.Select(Encoding.UTF8.GetBytes)]);
        writer.Add(Prefix + "scores", [.. pieces.Select((_, id) => (float)-id)]);
    }

    private static string Error(Action<GgufWriter> keys) => Assert.Throws<ModelFileException>(() => Create(keys)).Reason;

    [Theory]
    [InlineData("llama-bpe", "abc", true)]
    [InlineData("llama3", "abc", true)]
    [InlineData("llama-v3", "abc", true)]
    [InlineData("smaug-bpe", "a|b|c", true)] // a word without merges is not taken whole
    [InlineData("smollm", "a|b|c", false)]
    [InlineData("gpt-2", "a|b|c", false)]
    [InlineData("default", "abc", true)] // Llama 3's tokens tell
    [InlineData(null, "abc", true)]
    public void The_kind_of_words_decides_whether_they_are_taken_whole_and_begin_with_bos(string? pre, string pieces, bool addsBos)
    {
        ITokenizer t = Create(w =>
        {
            BytePair(w, pre, ["abc", "<|begin_of_text|>", "<|eot_id|>"], []);
            w.Add(Prefix + "bos_token_id", 257u);
        });
        Assert.Equal(pieces, string.Join('|', t.Encode("abc", bos: false).Select(id => Encoding.UTF8.GetString(t.Piece(id)))));
        Assert.Equal(addsBos, t.AddsBos);
        Assert.Equal(addsBos ? [257] : [], t.Encode("abc")[..^(pieces == "abc" ? 1 : 3)]);
        Assert.Equal([257], t.Encode("")); // a model needs one token to go on from
    }

    [Fact]
    public void Bytes_are_the_256_characters_of_gpt_2()
    {
        ITokenizer t = Create(w => BytePair(w, "llama-bpe", ["<|eot_id|>", "\u0120a"], ["\u0120 a"]));
        Assert.Equal(Enumerable.Range(0, 256), t.EncodeBytes([.. Enumerable.Range(0, 256).Select(b => (byte)b)]));
        Assert.Equal([257], t.Encode(" a", bos: false));
        Assert.Equal(" a", Encoding.UTF8.GetString(t.Piece(257)));
    }

    [Fact]
    public void Every_token_that_ends_a_turn_is_an_end_and_no_text_becomes_it()
    {
        ITokenizer t = Create(w =>
        {
            SentencePiece(w, "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "x", "<y>");
            w.Add(Prefix + "eos_token_id", 2u);
            w.Add(Prefix + "eot_token_id", 266u);
            w.Add(Prefix + "padding_token_id", uint.MaxValue);
        });
        Assert.Equal([1, 2, 262, 263, 264, 266], t.Ends.Order());
        Assert.Equal((1, 2), (t.Bos, t.Eos));
        Assert.Equal(262, t.Special("<|eot_id|>"u8));
        Assert.Null(t.Find("<|eot_id|>"u8));
        Assert.DoesNotContain(t.Encode("<|eot_id|><|eom_id|><end_of_turn><y>", bos: false), t.IsEnd);
        Assert.Empty(t.Decode(-1, 262).ToArray());
    }

    [Fact]
    public void Flags_of_sentencepiece_are_followed_and_have_its_defaults()
    {
        ITokenizer plain = Create(w => SentencePiece(w, "\u2581a")), other = Create(w =>
        {
            SentencePiece(w, "\u2581a");
            w.Add(Prefix + "add_space_prefix", false);
            w.Add(Prefix + "add_bos_token", false);
            w.Add(Prefix + "remove_extra_whitespaces", true);
        });
        Assert.Equal([1, 262, 259, 262], plain.Encode("a  a"));
        Assert.Equal([260, 262], other.Encode(" a  a "));
        Assert.Equal((true, false), (plain.AddsBos, other.AddsBos));
    }

    [Fact]
    public void What_is_missing_or_wrong_is_named()
    {
        Assert.Equal("tokenizer.ggml.tokens: expected the pieces of a vocabulary, found nothing",
            Error(w => w.Add(Prefix + "model", "llama")));
        Assert.Equal("tokenizer.ggml.model: expected llama or gpt2, found bert", Error(w =>
        {
            w.Add(Prefix + "model", "bert");
            w.Add(Prefix + "tokens", new[] { "a"u8.ToArray() });
        }));
        Assert.Equal("tokenizer.ggml.pre: expected llama-bpe, llama3, llama-v3, smaug-bpe, smollm or gpt-2, found qwen2",
            Error(w => BytePair(w, "qwen2", ["<|eot_id|>"], [])));
        Assert.EndsWith("found nothing", Error(w => BytePair(w, null, ["<|eot_id|>"], [])), StringComparison.Ordinal);
        Assert.Equal("tokenizer.ggml.eos_token_id: expected the token that ends a text, found nothing",
            Error(w => BytePair(w, "llama-bpe", [], [])));
        foreach (string merge in new[] { "ab", "a b", " a", "", "a  " })
        {
            Assert.StartsWith("tokenizer.ggml.merges[0]: expected two pieces that are a piece together",
                Error(w => BytePair(w, "llama-bpe", ["<|eot_id|>"], [merge])), StringComparison.Ordinal);
        }
        Assert.Equal("tokenizer.ggml.bos_token_id: expected a whole number from 0 to 261, found 262", Error(w =>
        {
            SentencePiece(w);
            w.Add(Prefix + "bos_token_id", 262u);
        }));
        Assert.Equal("tokenizer.ggml.token_type: expected 262 types, as there are pieces, found 1", Error(w =>
        {
            SentencePiece(w);
            w.Add(Prefix + "token_type", new[] { 1 });
        }));
        Assert.Equal("tokenizer.ggml.token_type[1]: expected a type from 0 to 6, found 7", Error(w =>
        {
            SentencePiece(w);
            w.Add(Prefix + "token_type", Enumerable.Range(0, 262).Select(id => id == 1 ? 7 : 1).ToArray());
        }));
    }
}
