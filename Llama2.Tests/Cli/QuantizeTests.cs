using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Llama2.Tests.Cli;

/// <summary>llama2 quantize as a process: the bytes of llama2.c's export.py, or no file at all.</summary>
public sealed class QuantizeTests : FolderTests
{
    private static readonly string Model = Repository.Weights("tales659K.bin");

    private string Target => At("out.bin");

    [Theory]
    [InlineData("tales659K.bin", "tales659K_q80.bin")]
    [InlineData("tales659K_v1.bin", "tales659K_q80.bin")]
    [InlineData("tales659K.bin", "tales659K_v1.bin", "--version", "1")]
    [InlineData("tales659K.bin", "tales659K.bin", "--type", "f32")]
    [InlineData("tales659K_q80.bin", "tales659K_q80.bin")]
    [InlineData("stories260K.bin", "stories260K_q80.bin")]
    [InlineData("stories260K.bin", "stories260K_q80_gs32.bin", "--group", "32")]
    [InlineData("stories260K.bin", "stories260K_v1.bin", "--type", "f32", "--version", "1")]
    [InlineData("llama2xs.bin", "llama2xs_q80.bin", "--type", "q8_0", "--version", "2", "--group", "64")]
    public void The_bytes_are_those_of_export_py(string input, string expected, params string[] options)
    {
        string? from = Repository.FindModel(input), golden = Repository.FindModel(expected);
        Assert.SkipWhen(from is null || golden is null, Repository.NoShared);
        BuiltProgram program = BuiltProgram.Run(["quantize", from, Target, .. options]);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Equal(File.ReadAllBytes(golden), File.ReadAllBytes(Target));
        Assert.Empty(Directory.GetFiles(Folder).Except([Target, At("out.tokenizer.bin")]));
    }

    [Fact]
    public void The_report_says_size_error_and_agreement()
    {
        BuiltProgram program = BuiltProgram.Run("quantize", Model, Target);
        Assert.Equal($"""
            {Model}: 2,667,420 bytes, llama2.c v0, f32
            {Target}: 744,832 bytes, llama2.c v2, q8_0 in groups of 32
            {Path.ChangeExtension(Target, "tokenizer.bin")}: its tokenizer
            largest error: 0.00324 in wk, layer 4
            greedy agreement: 64 of 64 tokens of the story the original tells without a prompt

            """, program.Out);

        using Checkpoint original = Checkpoint.Open(Model), copy = Checkpoint.Open(Target);
        float[] x = new float[96], y = new float[96];
        float largest = 0;
        for (int row = 0; row < original.Weights.Layers[4].Wk.Rows; row++)
        {
            original.Weights.Layers[4].Wk.CopyRow(row, x);
            copy.Weights.Layers[4].Wk.CopyRow(row, y);
            largest = x.Zip(y, (a, b) => Math.Abs(a - b)).Aggregate(largest, Math.Max); // a NaN stays, where Enumerable.Max drops it
        }
        Assert.Equal("0.00324", $"{largest:G3}");
    }

    [Fact]
    public void Disagreement_is_counted()
    {
        CheckpointHeader header = new(1, new Config(64, 192, 2, 4, 4, 500, 40), SharedClassifier: true);
        Random random = new(1); // random weights have no strong opinions
        string input = At("random.bin");
        float[] floats = [.. Enumerable.Range(0, (int)(header.FileLength - header.Bytes) / sizeof(float))
            .Select(_ => random.NextSingle() - 0.5f)];
        File.WriteAllBytes(input, [.. header.ToBytes(), .. MemoryMarshal.AsBytes<float>(floats)]);
        BuiltProgram program = BuiltProgram.Run("quantize", input, Target);

        using Checkpoint original = Checkpoint.Open(input), copy = Checkpoint.Open(Target);
        Transformer a = new(original.Config, original.Weights), b = new(copy.Config, copy.Weights);
        KvCache first = new(original.Config), second = new(copy.Config);
        float[] logits = new float[500];
        int token = Tokenizer.BosId, agreeing = 0;
        for (int step = 0; step < 40; step++) // all of the context
        {
            b.Forward([new Row(token, second, Want.Logits)], logits);
            int copied = logits.IndexOf(logits.Max());
            a.Forward([new Row(token, first, Want.Logits)], logits);
            token = logits.IndexOf(logits.Max());
            agreeing += token == copied ? 1 : 0;
        }
        Assert.InRange(agreeing, 1, 39);
        Assert.Contains($"greedy agreement: {agreeing} of 40 tokens ", program.Out, StringComparison.Ordinal);
    }

    [Fact]
    public void A_v1_file_becomes_the_v0_file_but_for_the_last_bit_of_tables_that_nobody_reads()
    {
        BuiltProgram.Run("quantize", Repository.Golden("tales659K_v1.bin"), Target, "--version", "0");
        byte[] expected = File.ReadAllBytes(Model), found = File.ReadAllBytes(Target);
        int tables = expected.Length - 2 * 512 * 8 * sizeof(float); // (2, seq_len, head_size / 2)
        Assert.Equal(expected[..tables], found[..tables]);
        ReadOnlySpan<float> a = MemoryMarshal.Cast<byte, float>(expected.AsSpan(tables));
        ReadOnlySpan<float> b = MemoryMarshal.Cast<byte, float>(found.AsSpan(tables));
        Assert.Equal(a.Length, b.Length);
        for (int i = 0; i < a.Length; i++)
            Assert.True(Math.Abs(a[i] - b[i]) <= 1.2e-7f, $"{i}: {a[i]:R} {b[i]:R}"); // PyTorch's cos and sin are not the C library's
    }

    [Theory]
    [InlineData("--type", "q4_0")]
    [InlineData("--version", "3")]
    [InlineData("--version", "1", "--type", "q8_0")]
    [InlineData("--version", "2", "--type", "f32")]
    [InlineData("--type", "f32", "--group", "32")]
    [InlineData("--group", "0")]
    [InlineData("--group", "-32")]
    [InlineData("--group", "7")]
    [InlineData("--group", "many")]
    public void Options_that_cannot_be_met_are_bad_usage(params string[] options) =>
        AssertFails(BuiltProgram.Run(["quantize", Model, Target, .. options]), 1, "--");

    [Fact]
    public void The_input_is_never_the_output()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        File.Copy(Model, Target);
        string link = At("link.bin");
        File.CreateSymbolicLink(link, "out.bin");
        foreach ((string from, string to) in new[] { (Target, Target), (link, Target), (Target, link) })
        {
            BuiltProgram program = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Folder }, "quantize",
                Path.GetFileName(from), to);
            Assert.Equal(1, program.ExitCode);
            Assert.Contains("is the input", program.Err, StringComparison.Ordinal);
            Assert.Equal(File.ReadAllBytes(Model), File.ReadAllBytes(Target));
        }
    }

    [Fact]
    public void A_bad_input_is_one_line()
    {
        AssertFails(BuiltProgram.Run("quantize", "nothing.bin", Target), 2, "nothing.bin: file: expected a file, found nothing there");
        AssertFails(BuiltProgram.Run("quantize", "stories15M", Target), 2, "`llama2 pull stories15M` downloads it");
        AssertFails(BuiltProgram.Run("quantize", Repository.Weights("tok512-tales.bin"), Target), 2, "tok512-tales.bin: ");
        AssertFails(BuiltProgram.Run("quantize", Folder, Target), 2, "expected a file, found a folder");
    }

    [Fact]
    public void An_output_that_cannot_be_written_is_one_line()
    {
        AssertFails(BuiltProgram.Run("quantize", Model, Path.Combine(Folder, "no", "out.bin")), 2,
            "out.bin: cannot be written: there is no such folder");
        AssertFails(BuiltProgram.Run("quantize", Model, Folder), 2, "cannot be written: ");
    }

    [Fact]
    public void A_full_device_or_disk_is_one_line()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc and ulimit");
        AssertFails(BuiltProgram.Run("quantize", Model, "/proc/out.bin"), 2, "/proc/out.bin: cannot be written: ");
        BuiltProgram.Setup full = new() { Under = BuiltProgram.FullDisk(512) };
        AssertFails(BuiltProgram.Run(full, "quantize", Model, Target), 2, "out.bin: cannot be written: ");
    }

    [Fact]
    public void A_full_disk_leaves_what_was_there()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs ulimit");
        File.WriteAllText(Target, "before");
        BuiltProgram program = BuiltProgram.Run(new BuiltProgram.Setup { Under = BuiltProgram.FullDisk(512) }, "quantize", Model, Target);
        Assert.Equal(2, program.ExitCode);
        Assert.Equal("before", File.ReadAllText(Target));
        Assert.Single(Directory.GetFiles(Folder));
    }

    [Fact]
    public async Task Ctrl_c_leaves_nothing()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        string input = At("large.bin");
        CheckpointHeader header = new(1, new Config(1024, 4096, 16, 16, 16, 4096, 64), SharedClassifier: true);
        using (FileStream stream = File.Create(input))
        {
            stream.Write(header.ToBytes());
            stream.SetLength(header.FileLength); // a gigabyte of zeros, which takes no room on the disk
        }
        using Process process = BuiltProgram.Start(new BuiltProgram.Setup(), "quantize", input, Target);
        while (Directory.GetFiles(Folder, "out.bin.*.tmp").Length == 0 && !process.HasExited)
            await Task.Delay(5, TestContext.Current.CancellationToken);
        BuiltProgram.Interrupt(process);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(130, process.ExitCode);
        Assert.Equal([input], Directory.GetFiles(Folder));
    }

    private void AssertFails(BuiltProgram program, int exitCode, string message)
    {
        program.AssertFails(exitCode, message);
        Assert.Empty(Directory.GetFiles(Folder));
    }
}
