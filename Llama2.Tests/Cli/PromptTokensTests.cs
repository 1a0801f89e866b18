using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Llama2.Cli.Generate;
using Llama2.Fast;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Cli;

/// <summary>A prompt of any length costs what of it is used, and that has the tokens of the whole.</summary>
public sealed class PromptTokensTests
{
    /// <summary>A text, a vocabulary, and how much of the text is wanted in parts of which length.</summary>
    private sealed record Case(string[] Text, int Seed, bool ByteTokens, int Most, int PartBytes)
    {
        public static Gen<Case> Any(Gen<string[]> texts) =>
            from text in texts.Resize(200)
            from seed in Gen.Choose(1, 1_000_000)
            from byteTokens in Gen.Elements(true, false)
            from most in Gen.Choose(0, 60)
            from partBytes in Gen.Choose(1, 20)
            select new Case(text, seed, byteTokens, most, partBytes);

        public byte[] Utf8 => Encoding.UTF8.GetBytes(string.Concat(Text));
        public IEnumerable<Case> Shrink() => Shrinking.Shorter(Text).Select(text => this with { Text = text });
    }

    [Fact]
    public void The_first_tokens_are_those_of_the_whole_for_any_vocabulary()
    {
        int cut = 0;
        Properties.Property.Holds(Case.Any(Texts.FewLetters), x => x.Shrink(), x =>
            cut += AssertBegins(Texts.RandomTokenizer(x.Seed, x.ByteTokens, blank: x.Seed % 2 == 0), x) ? 0 : 1, tests: 2000);
        Assert.True(cut > 400, $"only {cut} of 2,000 texts were cut");
    }

    [Theory]
    [MemberData(nameof(TokenizerProperties.Tokenizers), MemberType = typeof(TokenizerProperties))]
    public void The_first_tokens_are_those_of_the_whole(string file)
    {
        Tokenizer tokenizer = TokenizerFile.Open(Repository.FindModel(file)!);
        Properties.Property.Holds(Case.Any(Texts.Parts), x => x.Shrink(), x => AssertBegins(tokenizer, x), tests: 1000);
    }

    private static bool AssertBegins(Tokenizer tokenizer, Case x)
    {
        FastTokenizer fast = new(tokenizer);
        int[] whole = fast.Encode(x.Utf8, bos: x.ByteTokens);
        PromptTokens first = PromptTokens.InParts(fast, x.Utf8, x.Most, bos: x.ByteTokens, x.PartBytes);
        Assert.Equal(first.IsAll ? whole : whole[..first.Ids.Length], first.Ids);
        Assert.True(first.IsAll || first.Ids.Length > x.Most, $"{first.Ids.Length} tokens");
        return first.IsAll;
    }

    [Fact]
    public void Of_ten_megabytes_only_what_is_used_is_encoded()
    {
        CountingTokenizer tokenizer = new(new FastTokenizer(TokenizerFile.Open(Repository.Weights("tok512-tales.bin"))));
        byte[] prompt = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("Tom and Sue went to the park. ", 350_000)));
        PromptTokens first = PromptTokens.InParts(tokenizer, prompt, most: 512);
        Assert.False(first.IsAll);
        Assert.True(first.Ids.Length > 512);
        Assert.InRange(tokenizer.BytesEncoded, 1, 2 * 4096);
        Assert.InRange(PromptTokens.InParts(tokenizer, prompt.AsSpan(0, 100_000), most: 100_000).Ids.Length, 30_000, 100_000);
        Assert.InRange(tokenizer.BytesEncoded, 100_001, 100_000 + 2 * 4096); // each byte once
    }

    [Fact]
    public void A_chat_refuses_a_message_that_cannot_fit_without_encoding_it()
    {
        CountingTokenizer tokenizer = new(TokenizerFile.Open(Repository.Weights("tok512-tales.bin")));
        FakeModel model = FakeModel.Fixed(new float[512]);
        Sequence sequence = new(model.Config, new Sampler(512, 0, 0, 1));
        Conversation conversation = new(model, tokenizer, sequence, ChatTemplates.All[0]);
        Assert.Throws<ContextFullException>(() => conversation.Say(new string('x', 10_000_000)));
        Assert.Equal(0, tokenizer.BytesEncoded);
        Assert.InRange(conversation.LeastTokens(new string('x', 10_000)), 500, conversation.Encode(new string('x', 10_000)).Length);
    }

    [Theory]
    [InlineData("--prompt-file", "prompt")]
    [InlineData("--batch", "batch")]
    public void The_program_tells_the_story_of_what_is_used(string option, string file)
    {
        using TestFolder folder = new();
        string text = string.Concat(Enumerable.Repeat("Tom and Sue went to the park. ", 350_000));
        string path = folder.File(file);
        string[] args = [option, path, "-t", "0", "-n", "300"];
        string[] runs = [.. new[] { text, text[..3000] }.Select(prompt =>
        {
            File.WriteAllText(path, file == "batch" ? $"{{\"prompt\": \"{prompt}\"}}" : prompt);
            BuiltProgram run = BuiltProgram.Run(args);
            Assert.Equal(0, run.ExitCode);
            Assert.Matches(prompt == text ? "of more than [0-9]{4} tokens of the prompt, .* room for 300: the text ends there"
                : "of [0-9]{4} tokens of the prompt, .* room for 300: the text ends there", run.Err);
            return run.Out;
        })];
        Assert.Equal(runs[1], runs[0]);
    }

    private sealed class CountingTokenizer(ITokenizer tokenizer) : ITokenizer
    {
        public long BytesEncoded { get; private set; }
        public int VocabSize => tokenizer.VocabSize;
        public int Bos => tokenizer.Bos;
        public int Eos => tokenizer.Eos;
        public IReadOnlyList<int> Ends => tokenizer.Ends;
        public bool AddsBos => tokenizer.AddsBos;
        public int? Special(ReadOnlySpan<byte> utf8) => tokenizer.Special(utf8);
        public int[] EncodeBytes(ReadOnlySpan<byte> utf8) => tokenizer.EncodeBytes(utf8);
        public int? Find(ReadOnlySpan<byte> piece) => tokenizer.Find(piece);
        public ReadOnlySpan<byte> Decode(int previous, int token) => tokenizer.Decode(previous, token);
        public ReadOnlySpan<byte> Piece(int token) => tokenizer.Piece(token);
        public float Score(int token) => tokenizer.Score(token);

        public int[] Encode(ReadOnlySpan<byte> utf8, bool bos, bool eos, bool blank)
        {
            BytesEncoded += utf8.Length;
            return tokenizer.Encode(utf8, bos, eos, blank);
        }
    }
}
