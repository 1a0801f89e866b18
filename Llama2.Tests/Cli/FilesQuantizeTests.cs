using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Llama2.Tests.Cli;

/// <summary>quantize loses no number without a word, makes no file larger, and what it writes can be run.</summary>
public sealed class FilesQuantizeTests : FolderTests
{
    private static readonly string Model = Repository.Weights("tales659K.bin");

    private string Target => At("out.bin");

    [Theory]
    [InlineData(float.NaN, 28, "token_embedding_table", "NaN in row 0, column 0")]
    [InlineData(float.PositiveInfinity, 28 + 4 * (96 * 7 + 5), "token_embedding_table", "Infinity in row 7, column 5")]
    [InlineData(float.NegativeInfinity, 28 + 4 * (512 * 96 + 96), "rms_att_weight, layer 1", "-Infinity in row 0, column 0")]
    [InlineData(float.NaN, 28 + 4 * (512 * 96 + 6 * 96 + 3 * 96 * 96 + 1), "wq, layer 3", "NaN in row 0, column 1")]
    public void A_number_that_is_none_is_refused_by_its_tensor(float value, int offset, string tensor, string found)
    {
        byte[] bytes = File.ReadAllBytes(Model);
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(offset), value);
        using TemporaryFile input = new(bytes);
        string line = $"llama2: {input.Path}: {tensor}: expected finite numbers, found {found}\n";
        AssertRefused(2, line, input.Path);
        AssertRefused(2, line, input.Path, "--type", "f32");
    }

    [Theory]
    [InlineData(float.NaN, 28, "token_embedding_table", "NaN in row 0, column 0")]
    [InlineData(float.PositiveInfinity, 28 + 4 * (96 * 7 + 5), "token_embedding_table", "Infinity in row 7, column 5")]
    [InlineData(float.NegativeInfinity, 28 + 4 * (512 * 96 + 6 * 96 + 3 * 96 * 96 + 1), "wq, layer 3", "-Infinity in row 0, column 1")]
    [InlineData(float.NaN, 28 + 4 * (512 * 96 + 6 * 96 + 6 * 96 * 96 - 1), "wq, layer 5", "NaN in row 95, column 95")]
    public void A_number_that_is_none_is_refused_by_its_tensor_at_load_too(float value, int offset, string tensor, string found)
    {
        byte[] bytes = File.ReadAllBytes(Model);
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(offset), value);
        using TemporaryFile input = new(bytes);
        string[] args = [input.Path, "-z", Repository.Weights("tok512-tales.bin"), "-n", "5", "--silent"];
        string[] simple = ["--quantize", "q8_0", "--impl", "simple", "--threads", "1"];
        foreach (string[] more in (string[][])[["--quantize", "q8_0"], ["--quantize", "q4_0"], simple])
        {
            BuiltProgram run = BuiltProgram.Run([.. args, .. more]);
            Assert.Equal((2, "", $"llama2: {input.Path}: {tensor}: expected finite numbers, found {found}\n"),
                (run.ExitCode, run.Out, run.Err));
        }
        Assert.Equal(0, BuiltProgram.Run(args).ExitCode); // float32 loses nothing, and run.c runs it
    }

    [Fact]
    public void A_scale_that_is_no_number_is_refused_too()
    {
        byte[] bytes = File.ReadAllBytes(Repository.Golden("tales659K_q80.bin"));
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(256 + 4 * 13 * 96 + 512 * 96), float.NaN); // of the first embeddings
        using TemporaryFile input = new(bytes);
        AssertRefused(2, "token_embedding_table: expected finite numbers, found NaN in row 0, column 0", input.Path, "--type", "f32");
    }

    [Theory]
    [InlineData(33, 64)]
    [InlineData(63, 64)]
    [InlineData(32 * 3 + 1, 64)]
    public void Groups_of_one_are_refused_and_a_better_group_works(int hidden, int better)
    {
        string input = WriteModel(64, hidden);
        AssertRefused(1, $"groups of 1 (dim 64, hidden_dim {hidden}) make the file ", input);
        AssertRefused(1, $"--group {better} makes it ", input);
        AssertRefused(1, $"--group {better} makes it ", input, "--group", "1");
        BuiltProgram run = BuiltProgram.Run("quantize", input, Target, "--group", $"{better}");
        Assert.Equal((0, ""), (run.ExitCode, run.Err));
        Assert.True(new FileInfo(Target).Length < new FileInfo(input).Length / 2);
    }

    [Fact]
    public void Groups_that_save_little_are_made_with_a_warning()
    {
        string input = WriteModel(64, 34);
        BuiltProgram run = BuiltProgram.Run("quantize", input, Target);
        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith("groups of 2 (dim 64, hidden_dim 34) make the file ", run.Err, StringComparison.Ordinal);
        Assert.Contains("; --group 64 makes it ", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("out.bin", "out.tokenizer.bin")]
    [InlineData("out", "out.tokenizer.bin")]
    [InlineData("v1.2.bin", "v1.2.tokenizer.bin")]
    public void What_is_written_finds_its_tokenizer(string name, string tokenizer)
    {
        string output = At(name);
        File.Copy(Repository.Weights("tok512-tales.bin"), At("tokenizer.bin"));
        File.AppendAllText(At("tokenizer.bin"), "\0\0\0\0\u0001\0\0\0x"); // one token more: another model's
        Assert.Equal(0, BuiltProgram.Run("quantize", Model, output).ExitCode);
        Assert.Equal(File.ReadAllBytes(Repository.Weights("tok512-tales.bin")), File.ReadAllBytes(At(tokenizer)));
        BuiltProgram run = BuiltProgram.Run(output, "-t", "0", "-n", "20");
        Assert.Equal((0, BuiltProgram.Run(Model, "-t", "0", "-n", "20", "--quantize", "q8_0").Out), (run.ExitCode, run.Out));

        string again = At("again.bin");
        File.Copy(At(tokenizer), At("tokenizer.bin"), overwrite: true);
        Assert.Equal(0, BuiltProgram.Run("quantize", output, again).ExitCode);
        Assert.False(File.Exists(At("again.tokenizer.bin"))); // the same one is there as tokenizer.bin
    }

    [Fact]
    public void A_tokenizer_that_is_missing_or_another_ones_is_said_with_the_option_that_names_one()
    {
        string model = WriteModel(64, 64);
        BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Folder }, Path.GetFileName(model));
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.StartsWith("llama2: model.bin: tokenizer: expected a file that -z FILE names, or one beside the checkpoint, "
            + "found nothing at model.tokenizer.bin, ./tokenizer.bin, weights/tokenizer.bin, /", run.Err, StringComparison.Ordinal);

        File.Copy(Repository.Weights("tok512-tales.bin"), At("tokenizer.bin"));
        run = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Folder }, Path.GetFileName(model));
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.Equal("llama2: ./tokenizer.bin: vocabulary: expected the 96 tokens of the checkpoint, found 512; -z FILE names another "
            + "tokenizer\n", run.Err);
    }

    [Theory]
    [InlineData("fifo")]
    [InlineData("/dev/stdout")]
    [InlineData("/dev/null")]
    public void What_cannot_be_read_again_is_no_output(string output)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        string path = output == "fifo" ? At(output) : output;
        if (output == "fifo")
            System.Diagnostics.Process.Start("mkfifo", [path]).WaitForExit();
        BuiltProgram run = BuiltProgram.Run("quantize", Model, path);
        Assert.Equal((1, "", $"llama2: {path} is no file that can be read again, to compare it; name another\n"),
            (run.ExitCode, run.Out, run.Err));
    }

    private string WriteModel(int dim, int hidden)
    {
        string path = At("model.bin");
        CheckpointHeader header = new(1, new Config(dim, hidden, 2, 4, 4, 96, 16), SharedClassifier: true);
        Random random = new(1);
        float[] floats = [.. Enumerable.Range(0, (int)(header.FileLength - header.Bytes) / sizeof(float))
            .Select(_ => random.NextSingle() - 0.5f)];
        File.WriteAllBytes(path, [.. header.ToBytes(), .. MemoryMarshal.AsBytes<float>(floats)]);
        return path;
    }

    private void AssertRefused(int exitCode, string message, string input, params string[] options)
    {
        BuiltProgram.Run(["quantize", input, Target, .. options]).AssertFails(exitCode, message);
        Assert.False(File.Exists(Target));
    }
}
