using System.Text.Json;
using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Golden;

/// <summary>Ids of sentencepiece and of tiktoken, for the tokenizers that GGUF files hold.</summary>
public sealed class GgufTokenizerGoldenTests
{
    private const string NoKit = "needs tokenizers and their goldens, in ../shared/formats/tokenizers, beside the clone";

    private sealed record Case(string Text, int[] Ids, string? Decoded, bool DiffersInLlamaCpp);

    private static Case[] Read(string file, string ids)
    {
        string? path = Vocabularies.Find(file);
        Assert.SkipWhen(path is null, NoKit);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(path!));
        Case[] cases = [.. json.RootElement.GetProperty("cases").EnumerateArray().Select(c => new Case(
            c.GetProperty("text").GetString()!,
            [.. c.GetProperty(ids).EnumerateArray().Select(id => id.GetInt32())],
            c.TryGetProperty("spm_decode", out JsonElement decoded) ? decoded.GetString() : null,
            c.TryGetProperty("llama_cpp", out _)))];
        Assert.True(cases.Length > 100, "too few cases");
        return cases;
    }

    [Theory]
    [InlineData("tok512-tales")]
    [InlineData("tok512")] // removes blanks, which llama.cpp does not
    [InlineData("tokenizer")]
    [InlineData("spm-bpe-nobytes")] // no blank in front, and an unknown token for what it lacks
    public void Ids_and_texts_are_those_of_sentencepiece(string name)
    {
        Case[] cases = Read($"spm.{name}.json", "spm");
        SentencePieceTokenizer tokenizer = Vocabularies.SentencePiece(Vocabularies.Find(name + ".model")!);
        foreach (Case c in cases)
        {
            Assert.Equal(c.Ids, tokenizer.Encode(c.Text, bos: false));
            if (name != "tok512" || !c.Text.Contains('\u2581', StringComparison.Ordinal)) // sentencepiece takes all blanks in front away
                Assert.Equal(c.Decoded, tokenizer.Decode([tokenizer.Bos, .. c.Ids]));
        }
    }

    [Fact]
    public void Without_the_removal_of_blanks_which_a_gguf_file_may_not_mention_the_same_texts_differ_as_in_llama_cpp()
    {
        Case[] cases = Read("spm.tok512.json", "spm");
        using GgufFile file = GgufFile.Open(Repository.Shared("formats", "gguf", "stories260K-F32.gguf"));
        ITokenizer unsaid = GgufTokenizer.Create(file.Metadata);
        foreach (Case c in cases)
            Assert.Equal(c.DiffersInLlamaCpp, !c.Ids.AsSpan().SequenceEqual(unsaid.Encode(c.Text, bos: false)));
    }

    [Theory] // ids of sentencepiece 0.1.97
    [InlineData("[INST]", 516, 6)]
    [InlineData("a[INST]b", 266, 6, 537)]
    [InlineData("[INST] Hello [/INST]", 516, 6, 310, 495, 516, 7)]
    [InlineData("<|im_start|>user x<|im_end|>", 516, 4, 531, 525, 276, 516, 547, 5)]
    [InlineData("[[INST]]", 516, 590, 6, 593)]
    [InlineData("[INST][INST] [INST]", 516, 6, 6, 516, 6)]
    [InlineData("the [INST]the", 269, 516, 6, 519, 264)]
    [InlineData("[/INS", 516, 590, 636, 544, 571, 554)]
    [InlineData("<ctl>", 516, 588, 536, 519, 527, 596)] // a control piece, which text does not become
    public void User_defined_pieces_stand_for_themselves_and_nothing_is_merged_with_them(string text, params int[] ids)
    {
        string? path = Vocabularies.Find("spm-nfkc-user.model");
        Assert.SkipWhen(path is null, NoKit);
        SentencePieceTokenizer tokenizer = Vocabularies.SentencePiece(path!);
        Assert.Equal(ids, tokenizer.Encode(text, bos: false));
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    [Theory]
    [InlineData("tales659K-F32.gguf", "spm.tok512-tales.json", "spm")]
    [InlineData("variants/bpe-small.gguf", "bpe.bpe-small.json", "ids")]
    [InlineData("variants/base-F16-ggufv1.gguf", "spm.tok512-tales.json", "spm")]
    public void A_gguf_files_tokenizer_and_its_fast_twin_give_the_same_ids(string file, string golden, string ids)
    {
        string path = Repository.Shared("formats", "gguf", file);
        Assert.SkipUnless(File.Exists(path), NoKit);
        using GgufFile gguf = GgufFile.Open(path);
        ITokenizer tokenizer = GgufTokenizer.Create(gguf.Metadata), fast = FastTokenizer.Of(tokenizer);
        Assert.NotEqual(tokenizer.GetType(), fast.GetType());
        foreach (Case c in Read(golden, ids))
        {
            Assert.Equal(c.Ids, tokenizer.Encode(c.Text, bos: false));
            Assert.Equal(c.Ids, fast.Encode(c.Text, bos: false));
            Assert.Equal([tokenizer.Bos, .. c.Ids], fast.Encode(c.Text));
        }
    }

    [Fact]
    public void Ids_of_this_projects_own_vocabulary_of_llama_3s_kind_are_those_of_tiktoken() =>
        AssertTikToken(Vocabularies.Small(), Read("bpe.bpe-small.json", "ids"));

    [Fact]
    public void Ids_of_llama_3s_vocabulary_are_those_of_tiktoken()
    {
        Assert.SkipWhen(Vocabularies.Find("llama3.tiktoken.gz") is null, NoKit);
        AssertTikToken(Vocabularies.Llama3(), Read("bpe.llama3.json", "ids"));
    }

    private static void AssertTikToken(BytePairTokenizer tokenizer, Case[] cases)
    {
        foreach (Case c in cases)
        {
            Assert.Equal(c.Ids, tokenizer.Encode(c.Text, bos: false));
            Assert.Equal(c.Text, tokenizer.Decode(tokenizer.Encode(c.Text)));
        }
    }
}
