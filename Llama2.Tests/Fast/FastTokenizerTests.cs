using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;
using Llama2.Tests.Properties;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>Fast's tokenizer has the tokens of Simple's.</summary>
public sealed class FastTokenizerTests
{
    [Fact]
    public void Tokens_of_the_default_vocabulary_are_Simple_s()
    {
        Tokenizer simple = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
        FastTokenizer fast = new(simple);
        Property.Holds(Texts.Bytes, Shrinking.Shorter, bytes => AssertEncodes(simple, fast, bytes), tests: 1000);
        Property.Holds(Texts.Parts, Shrinking.Shorter, parts =>
            AssertEncodes(simple, fast, Encoding.UTF8.GetBytes(string.Concat(parts))), tests: 2000);
    }

    [Property(MaxTest = 2000)]
    public FsCheck.Property Tokens_of_any_vocabulary_are_Simple_s()
    {
        Gen<(string[] Text, int Seed)> inputs =
            from text in Texts.FewLetters
            from seed in Gen.Choose(1, 1_000_000)
            select (text, seed);
        return Property.ForAll(inputs, x => Shrinking.Shorter(x.Text).Select(text => (text, x.Seed)), x =>
        {
            Tokenizer simple = Texts.RandomTokenizer(x.Seed, byteTokens: x.Seed % 2 == 0, blank: x.Seed % 3 == 0);
            AssertEncodes(simple, new FastTokenizer(simple), Encoding.UTF8.GetBytes(string.Concat(x.Text)));
        });
    }

    private static void AssertEncodes(Tokenizer simple, FastTokenizer fast, byte[] utf8)
    {
        Assert.Equal(simple.Encode(utf8), fast.Encode(utf8));
        Assert.Equal(simple.Encode(utf8, bos: false, eos: true, blank: false), fast.Encode(utf8, bos: false, eos: true, blank: false));
    }

    [Fact]
    public void All_else_is_Simple_s()
    {
        Tokenizer simple = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
        FastTokenizer fast = new(simple);
        Assert.Equal((simple.VocabSize, ((ITokenizer)simple).Bos, ((ITokenizer)simple).Eos), (fast.VocabSize, fast.Bos, fast.Eos));
        Assert.Equal(simple.EncodeBytes("a\n"u8), fast.EncodeBytes("a\n"u8));
        for (int token = 0; token < simple.VocabSize; token++)
        {
            Assert.Equal(simple.Piece(token), fast.Piece(token));
            Assert.Equal(simple.Score(token), fast.Score(token));
            Assert.Equal(simple.Decode(1, token), fast.Decode(1, token));
            Assert.Equal(simple.Find(simple.Piece(token)), fast.Find(fast.Piece(token)));
        }
        Assert.Null(fast.Find("no piece"u8));
    }
}
