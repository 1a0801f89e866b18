using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;

namespace Llama2.Tests.Properties;

/// <summary>What holds for every text and every vocabulary.</summary>
public sealed class TokenizerProperties
{
    public static TheoryData<string> Tokenizers => Repository.HasShared
        ? ["tok512-tales.bin", "tok512.bin", "tok105.bin", "aidreams_tok512.bin", "tokenizer.bin"]
        : ["tok512-tales.bin", new TheoryDataRow<string>("other tokenizers") { Skip = Repository.NoShared }];

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void The_twins_encode_the_same_and_decode_inverts_it(string file)
    {
        Tokenizer tokenizer = TokenizerFile.Open(Repository.FindModel(file)!);
        FastTokenizer fast = new(tokenizer);
        Property.Holds(Texts.Parts, Shrinking.Shorter, parts =>
        {
            string text = string.Concat(parts);
            int[] ids = Check(tokenizer, fast, Encoding.UTF8.GetBytes(text));
            if (tokenizer.VocabSize > 3 + 256) // tok105 has no byte tokens, so it loses what it does not know
                Assert.Equal(text, tokenizer.Decode(ids));
        }, tests: 10_000);
    }

    [Property(MaxTest = 1000)]
    public FsCheck.Property The_twins_encode_the_same_for_bytes_that_are_no_text()
    {
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
        FastTokenizer fast = new(tokenizer);
        return Property.ForAll(Texts.Bytes, Shrinking.Shorter, bytes =>
        {
            int[] ids = Check(tokenizer, fast, bytes);
            Assert.Equal(bytes, Bytes(tokenizer, ids));
        });
    }

    /// <summary>A text and a vocabulary, of few letters both.</summary>
    private sealed record Merging(string[] Text, int Seed, bool ByteTokens, bool Blank)
    {
        public static readonly Gen<Merging> Any =
            from text in Texts.FewLetters
            from seed in Gen.Choose(1, 1_000_000)
            from byteTokens in Gen.Elements(true, false)
            from blank in Gen.Elements(true, false)
            select new Merging(text, seed, byteTokens, blank);

        public IEnumerable<Merging> Shrink() => Shrinking.Shorter(Text).Select(text => this with { Text = text });
    }

    [Property(MaxTest = 2000)]
    public FsCheck.Property The_twins_encode_the_same_for_any_vocabulary()
    {
        return Property.ForAll(Merging.Any, x => x.Shrink(), x =>
        {
            Tokenizer tokenizer = Texts.RandomTokenizer(x.Seed, x.ByteTokens, x.Blank);
            byte[] utf8 = Encoding.UTF8.GetBytes(string.Concat(x.Text));
            int[] ids = Check(tokenizer, new FastTokenizer(tokenizer), utf8);
            if (x.ByteTokens)
                Assert.Equal(utf8, Bytes(tokenizer, ids));
        });
    }

    [Property(MaxTest = 2000)]
    public FsCheck.Property Text_is_the_same_however_its_bytes_are_cut()
    {
        Gen<(byte[] Bytes, int[] Cuts)> inputs =
            from bytes in Texts.Bytes
            from cuts in Gen.Choose(0, 6).ArrayOf()
            select (bytes, cuts);
        return Property.ForAll(inputs, x => Shrinking.Shorter(x.Bytes).Select(bytes => (bytes, x.Cuts))
            .Concat(Shrinking.Shorter(x.Cuts).Select(cuts => (x.Bytes, cuts))), x =>
        {
            TextStream stream = new();
            StringBuilder text = new();
            ReadOnlySpan<byte> rest = x.Bytes;
            foreach (int cut in x.Cuts)
            {
                text.Append(stream.Append(rest[..Math.Min(cut, rest.Length)]));
                rest = rest[Math.Min(cut, rest.Length)..];
            }
            text.Append(stream.Append(rest)).Append(stream.Flush());
            Assert.Equal(Encoding.UTF8.GetString(x.Bytes), text.ToString());
        });
    }

    /// <summary>The ids of a text, the same from both twins and in range.</summary>
    private static int[] Check(Tokenizer tokenizer, FastTokenizer fast, byte[] utf8)
    {
        int[] ids = tokenizer.Encode(utf8);
        Assert.Equal(ids, fast.Encode(utf8));
        Assert.Equal(Tokenizer.BosId, ids[0]);
        Assert.DoesNotContain(ids.Skip(1), id => id is Tokenizer.BosId or Tokenizer.EosId || (uint)id >= (uint)tokenizer.VocabSize);
        return ids;
    }

    private static byte[] Bytes(Tokenizer tokenizer, int[] ids) =>
        [.. ids.Zip(ids.Skip(1)).SelectMany(pair => tokenizer.Decode(pair.First, pair.Second).ToArray())];
}
