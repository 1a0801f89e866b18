namespace Llama2.Tests.Simple.Formats;

/// <summary>A file of llama2.c is made of any model that it can express, and of no other.</summary>
public sealed class CheckpointLimitsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private ModelFile Open(Config? config = null, Action<SortedDictionary<string, object>>? metadata = null,
        Action<List<(string Name, long[] Dimensions)>>? tensors = null)
    {
        string path = Path.Combine(_folder, "model.gguf");
        File.WriteAllBytes(path, SmallGguf.Create(config, metadata, tensors));
        return ModelFile.Open(path);
    }

    private string Refuse(Config? config = null, Action<SortedDictionary<string, object>>? metadata = null,
        Action<List<(string Name, long[] Dimensions)>>? tensors = null)
    {
        using ModelFile model = Open(config, metadata, tensors);
        return Assert.Throws<ModelFileException>(() => CheckpointLimits.HeaderFor(model, 0)).Reason;
    }

    [Theory]
    [InlineData(0, 0, false)]
    [InlineData(1, 0, true)]
    [InlineData(2, 4, false)]
    public void A_model_that_is_run_c_s_gets_a_header(int version, int groupSize, bool shared)
    {
        using ModelFile model = Open(tensors: tensors => tensors.AddRange(shared ? [] : [("output.weight", [8, 16])]));
        CheckpointHeader header = CheckpointLimits.HeaderFor(model, version, groupSize);
        Assert.Equal(new CheckpointHeader(version, SmallGguf.Config, shared, groupSize), header);
    }

    [Fact]
    public void What_run_c_has_not_is_refused_by_name()
    {
        const string All = ", all that a file of llama2.c can say, found ";
        Assert.Equal($"head size: expected dim 8 / 2 heads = 4{All}6", Refuse(SmallGguf.Config with { HeadSize = 6 }));
        Assert.Equal($"norm epsilon: expected 1E-05{All}1E-06", Refuse(SmallGguf.Config with { NormEpsilon = 1e-6f }));
        Assert.Equal($"RoPE base: expected 10000{All}500000", Refuse(SmallGguf.Config with { RopeBase = 500000 }));
        Assert.Equal($"RoPE dimensions: expected the head size, 4{All}2", Refuse(SmallGguf.Config with { RopeDim = 2 }));
        Assert.Equal($"RoPE scaling: expected none{All}linear by 4", Refuse(metadata: values =>
            (values["llama.rope.scaling.type"], values["llama.rope.scaling.factor"]) = ("linear", 4f)));
        Assert.StartsWith($"RoPE scaling: expected none{All}factors up to ",
            Refuse(tensors: tensors => tensors.Add(("rope_freqs.weight", [2]))), StringComparison.Ordinal);
        Assert.Equal($"bias bk, layer 1: expected none{All}one",
            Refuse(tensors: tensors => tensors.Add(("blk.1.attn_k.bias", [4]))));
        using ModelFile model = Open();
        Assert.Equal("group_size: expected a divisor of the 128 elements of token_embedding_table, found 3",
            Assert.Throws<ModelFileException>(() => CheckpointLimits.HeaderFor(model, 2, 3)).Reason);
    }

    // <unk>, <s>, </s>, the 256 bytes and some pieces, with changes.
    private static SentencePieceTokenizer Tokenizer(int unknown = 0, int bos = 1, Action<PieceType[]>? change = null, bool addsBlank = true)
    {
        byte[][] pieces = ["<unk>"u8.ToArray(), "<s>"u8.ToArray(), "</s>"u8.ToArray(),
            .. Enumerable.Range(0, 256).Select(value => System.Text.Encoding.ASCII.GetBytes($"<0x{value:X2}>")),
            "\u2581"u8.ToArray(), "a"u8.ToArray(), "\u2581a"u8.ToArray(), "\u2581\u2581a"u8.ToArray()];
        PieceType[] types = [PieceType.Unknown, PieceType.Control, PieceType.Control, .. Enumerable.Repeat(PieceType.Byte, 256),
            .. Enumerable.Repeat(PieceType.Normal, 4)];
        change?.Invoke(types);
        return new SentencePieceTokenizer(new Vocabulary(pieces, types, bos, [2]), pieces.Select((_, id) => -id * 0.5f))
        {
            UnknownId = unknown,
            AddsBlank = addsBlank,
        };
    }

    [Fact]
    public void A_tokenizer_of_sentencepiece_becomes_a_file_that_gives_the_same_tokens()
    {
        SentencePieceTokenizer source = Tokenizer();
        byte[] bytes = CheckpointLimits.TokenizerBytes(source, "model.gguf");
        Tokenizer copy = new(TokenizerFile.Parse(bytes, "", source.VocabSize));
        Assert.Equal("\n<s>\n"u8, copy.Piece(1));
        Assert.Equal("  a"u8, copy.Piece(262));
        foreach (string text in (string[])["a a", "  a", "aa\n", "é"])
            Assert.Equal(source.Encode(text), copy.Encode(text));
        Assert.Equal(bytes, CheckpointLimits.TokenizerBytes(copy, ""));
    }

    [Fact]
    public void The_tokenizer_that_ships_is_written_as_it_was()
    {
        byte[] bytes = File.ReadAllBytes(Repository.Weights("tok512-tales.bin"));
        Assert.Equal(bytes, CheckpointLimits.TokenizerBytes(TokenizerFile.Open(Repository.Weights("tok512-tales.bin")), ""));
    }

    [Fact]
    public void A_tokenizer_that_is_another_is_refused_by_what_differs()
    {
        const string All = ", all that a tokenizer of llama2.c can say, found ";
        Assert.Equal($"tokenizer: <unk>, BOS and EOS: expected the ids 0, 1 and 2{All}3, 1 and 2", Reason(Tokenizer(unknown: 3)));
        Assert.Equal($"tokenizer: <unk>, BOS and EOS: expected the ids 0, 1 and 2{All}0, 0 and 2", Reason(Tokenizer(bos: 0)));
        Assert.StartsWith("tokenizer: expected BOS and a blank before each text", Reason(Tokenizer(addsBlank: false)),
            StringComparison.Ordinal);
        Assert.Equal($"tokenizer: token 260: expected a piece of the kind normal{All}a piece of the kind userdefined",
            Reason(Tokenizer(change: types => types[260] = PieceType.UserDefined)));
        Assert.Equal($"tokenizer: token 5: expected a piece of the kind byte{All}a piece of the kind unused",
            Reason(Tokenizer(change: types => types[5] = PieceType.Unused)));
        BytePairTokenizer pairs = Vocabularies.Small();
        Assert.Equal($"tokenizer: expected sentencepiece's{All}byte pairs", Reason(pairs));

        static string Reason(ITokenizer tokenizer) =>
            Assert.Throws<ModelFileException>(() => CheckpointLimits.TokenizerBytes(tokenizer, "")).Reason;
    }
}
