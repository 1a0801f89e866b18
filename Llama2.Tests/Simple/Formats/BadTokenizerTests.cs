using System.Buffers.Binary;

namespace Llama2.Tests.Simple.Formats;

/// <summary>Whatever is wrong with a tokenizer, one typed error names file and field.</summary>
public sealed class BadTokenizerTests
{
    private static readonly byte[] Good = File.ReadAllBytes(Repository.Weights("tok512-tales.bin"));

    [Fact]
    public void A_file_cut_at_any_length_is_refused_or_too_small_for_the_model()
    {
        for (int i = 0; i < 50; i++)
            Refuse(Good.AsSpan(0, Good.Length * i / 50), vocabSize: 512);
        Refuse(Good.AsSpan(0, Good.Length - 1), vocabSize: 512);
        for (int length = 1; length < sizeof(uint); length++)
            Assert.Equal("max_token_length", Refuse(Good.AsSpan(0, length), vocabSize: 512).Field);
    }

    [Theory]
    [InlineData(511)]
    [InlineData(513)]
    [InlineData(32000)]
    public void A_tokenizer_of_another_size_is_refused(int vocabSize)
    {
        ModelFileException error = Refuse(Good, vocabSize);
        Assert.Equal("vocabulary", error.Field);
        Assert.Contains($"{vocabSize}", error.Message, StringComparison.Ordinal);
        Assert.Contains("512", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(1 << 30)]
    [InlineData(int.MaxValue)]
    [InlineData(10_000)]
    public void A_length_beyond_the_end_is_refused(int length)
    {
        byte[] file = [.. Good];
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(8), length);
        Assert.Equal("token 0: length", Refuse(file, 512).Field);
        BinaryPrimitives.WriteInt32LittleEndian(file, -1); // a max_token_length that allows it: the end of the file does not
        Assert.Equal("token 0: length", Refuse(file, 512).Field);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_max_token_length_that_its_tokens_exceed_is_refused(int maxLength)
    {
        byte[] file = [.. Good];
        BinaryPrimitives.WriteInt32LittleEndian(file, maxLength);
        Assert.EndsWith("length", Refuse(file, 512).Field, StringComparison.Ordinal);
    }

    [Fact]
    public void Empty_missing_and_folder_are_told_apart()
    {
        Assert.Contains("empty", Refuse([], 512).Message, StringComparison.Ordinal);
        string missing = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Assert.Contains("nothing there", Assert.Throws<ModelFileException>(() => TokenizerFile.Open(missing)).Message,
            StringComparison.Ordinal);
        Assert.Contains("folder", Assert.Throws<ModelFileException>(() => TokenizerFile.Open(Path.GetTempPath())).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Fewer_tokens_than_the_special_ones_are_refused()
    {
        Assert.Equal("vocabulary", Refuse(Good.AsSpan(0, 4), vocabSize: 0).Field);
    }

    private static ModelFileException Refuse(ReadOnlySpan<byte> bytes, int vocabSize)
    {
        using TemporaryFile file = new(bytes);
        string path = file.Path;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        ModelFileException error = Assert.Throws<ModelFileException>(() => TokenizerFile.Open(path, vocabSize));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 1 << 20);
        Assert.Equal(path, error.Path);
        Assert.StartsWith($"{path}: {error.Field}: expected ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }
}
