using System.Buffers.Binary;

namespace Llama2.Tests.Cli;

/// <summary>Bad usage ends with 1, a bad file with 2; one line names it, and little memory is enough for that.</summary>
public sealed class BadInputTests
{
    // 32 MB, in hex
    private static readonly BuiltProgram.Setup SmallHeap = new() { Environment = { ["DOTNET_GCHeapHardLimit"] = "2000000" } };

    private static readonly string Tokenizer = Repository.Weights("tok512-tales.bin");

    [Theory]
    [InlineData("--nosuch", "--nosuch")]
    [InlineData("-t abc", "abc")]
    [InlineData("-t NaN", "NaN")]
    [InlineData("-n 1.5", "1.5")]
    [InlineData("-n", "-n")]
    [InlineData("-m talk", "talk")]
    [InlineData("--impl slow", "slow")]
    [InlineData("a.bin b.bin", "b.bin")]
    [InlineData("tokenize", "text")]
    [InlineData("detokenize 512", "512")]
    [InlineData("detokenize -1", "-1")]
    [InlineData("detokenize x", "x")]
    public void Bad_usage_is_1(string args, string named)
    {
        BuiltProgram program = BuiltProgram.Run(args.Split(' '));
        Assert.Equal(1, program.ExitCode);
        Assert.Equal("", program.Out);
        AssertOneLine(program, named);
    }

    [Theory]
    [InlineData("cut", "length")]
    [InlineData("cut in its header", "header")]
    [InlineData("dim 2^30", "")]
    [InlineData("n_layers 2^31-1", "")]
    [InlineData("n_heads -1", "n_heads")]
    [InlineData("vocab_size 0", "vocab_size")]
    [InlineData("empty", "file")]
    [InlineData("folder", "file")]
    [InlineData("missing", "file")]
    [InlineData("cut tokenizer", "token ")]
    [InlineData("tokenizer length", "token 0: length")]
    [InlineData("tokenizer of another size", "vocabulary")]
    [InlineData("missing tokenizer", "file")]
    public void A_bad_file_is_2(string what, string field)
    {
        byte[] checkpoint = File.ReadAllBytes(Repository.Weights("tales659K.bin")), tokenizer = File.ReadAllBytes(Tokenizer);
        bool badTokenizer = what.Contains("tokenizer", StringComparison.Ordinal);
        byte[] bytes = badTokenizer ? tokenizer : checkpoint;
        bytes = what switch
        {
            "cut" => bytes[..^1],
            "cut in its header" => bytes[..27],
            "dim 2^30" => With(bytes, 0, 1 << 30),
            "n_layers 2^31-1" => With(bytes, 8, int.MaxValue),
            "n_heads -1" => With(bytes, 12, -1),
            "vocab_size 0" => With(bytes, 20, 0),
            "empty" => [],
            "cut tokenizer" => bytes[..1000],
            "tokenizer length" => With(bytes, 8, int.MaxValue),
            "tokenizer of another size" => [.. bytes, 0, 0, 0, 0, 1, 0, 0, 0, (byte)'x'],
            _ => bytes,
        };
        using TemporaryFile file = new(bytes);
        string path = what switch
        {
            "folder" => Path.GetTempPath(),
            "missing" or "missing tokenizer" => file.Path + ".missing",
            _ => file.Path,
        };
        string[] args = badTokenizer ? [Repository.Weights("tales659K.bin"), "-z", path] : [path, "-z", Tokenizer];

        BuiltProgram program = BuiltProgram.Run(SmallHeap, args);
        Assert.Equal(2, program.ExitCode);
        Assert.Equal("", program.Out);
        AssertOneLine(program, $"{path}: {field}");
    }

    private static byte[] With(byte[] bytes, int offset, int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(offset), value);
        return bytes;
    }

    private static void AssertOneLine(BuiltProgram program, string named)
    {
        string line = Assert.Single(program.Err.TrimEnd('\n').Split('\n'));
        Assert.StartsWith("llama2: ", line, StringComparison.Ordinal);
        Assert.Contains(named, line, StringComparison.Ordinal);
    }
}
