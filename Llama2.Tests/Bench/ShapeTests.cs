using System.Security.Cryptography;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ShapeTests
{
    [Fact]
    public void Known_shapes_are_those_of_the_published_files()
    {
        Assert.Equal(new Config(768, 2048, 12, 12, 12, 32000, 1024), Shape.Parse("stories110M").Header.Config);
        Assert.Equal(60_816_028, Shape.Parse("stories15M").Header.FileLength); // as published
        Assert.Equal(new Config(8, 16, 2, 2, 1, 300, 32), Shape.Parse("8,16,2,2,1,300,32").Header.Config);
    }

    [Theory]
    [InlineData("stories1T")]
    [InlineData("")]
    [InlineData("8,16,2,2,1,300")]
    [InlineData("8,16,2,2,1,300,x")]
    [InlineData("0,16,2,2,1,300,32")]
    [InlineData("8,16,2,0,1,300,32")]
    [InlineData("8,16,2,3,1,300,32")]
    [InlineData("8,16,2,4,3,300,32")]
    [InlineData("2147483646,2147483646,2147483646,1,1,2147483646,2147483646")]
    [InlineData("8,16,2,2,1,300,99999999999")]
    public void An_impossible_shape_is_bad_usage(string text) =>
        Assert.Contains("--shape", Assert.Throws<UsageException>(() => Shape.Parse(text)).Message);

    [Fact]
    public void The_same_shape_gives_the_same_bytes_everywhere()
    {
        byte[] bytes = Bytes(Shape.Parse("8,16,2,2,1,300,32"));
        Assert.Equal("6c1b4ea24a084babe41496f5bdf8e430eff23365b7eb1354024d93891da23eb3", Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    [Fact]
    public void It_is_a_checkpoint_whose_logits_are_numbers()
    {
        Shape shape = Shape.Parse("64,96,3,4,2,300,32");
        using TemporaryFile file = new(Bytes(shape));
        using Checkpoint checkpoint = Checkpoint.Open(file.Path);
        using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
        float[] logits = new float[300];
        KvCache cache = new(checkpoint.Config);
        for (int token = 1; token < 9; token++)
            transformer.Forward([new Row(token, cache, Want.Logits)], logits);
        Assert.All(logits, logit => Assert.InRange(MathF.Abs(logit), float.Epsilon, 100));
        Assert.True(logits.Distinct().Count() > 290);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(300)]
    [InlineData(32000)]
    public void Its_tokenizer_is_one(int vocabSize)
    {
        IReadOnlyList<(byte[] Piece, float Score)> vocab = TokenizerFile.Parse(Shape.Tokenizer(vocabSize), "", vocabSize);
        if (vocabSize > 400) // then a prompt is BOS, the dummy blank, a token a letter
            Assert.Equal(1 + 1 + PeerInputs.Prompt.Length, new Tokenizer(vocab).Encode(PeerInputs.Prompt).Length);
    }

    [Fact]
    public void Ctrl_C_stops_it()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => Shape.Parse("stories110M").Write(Stream.Null, source.Token));
    }

    [Theory]
    [InlineData(true, 0)]
    [InlineData(false, 0)]
    [InlineData(true, 777)]
    [InlineData(false, 777)]
    public void The_bytes_that_a_token_reads_are_counted(bool shared, long shortlist)
    {
        Config config = new(Dim: 8, HiddenDim: 16, LayerCount: 3, HeadCount: 4, KvHeadCount: 2, VocabSize: 300, SeqLen: 32);
        const long Matrices = 3 * (8 * 8 + 4 * 8 + 4 * 8 + 8 * 8 + 3 * 16 * 8), Norms = 3 * 2 * 8 + 8, Vocabulary = 300 * 8;
        const double KeysAndValues = 2.0 * 4 * 4 * 3 * (1 + 2 + 3) / 3; // of 4 floats in each of 3 layers, at positions 0, 1, 2
        BenchRow row = Reports.Row("fast", 1, Phase.Decode) with { Tokens = 3 };
        Dictionary<string, TensorSpec> specs = new CheckpointHeader(0, config, shared).Tensors().ToDictionary(spec => spec.Name);
        Weights weights = Weights.From(config.LayerCount, shared, (name, _) =>
            specs.TryGetValue(name, out TensorSpec? spec) ? new Float32Tensor(spec.Rows, spec.Columns, new float[spec.Elements]) : null);
        row = Roofline.AddTo(row, config, weights, shortlist);
        long classifier = shortlist > 0 ? shortlist : 4 * Vocabulary; // one of two tables where they are not shared
        Assert.Equal(4 * (Matrices + Norms) + classifier + KeysAndValues, row.BytesPerToken);
        Assert.True(row.ReadBandwidth > 0);
    }

    private static byte[] Bytes(Shape shape)
    {
        using MemoryStream stream = new();
        shape.Write(stream, CancellationToken.None);
        return stream.ToArray();
    }
}
