using System.Diagnostics;
using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Cli;

/// <summary>llama2 convert as a process: between all formats, without a loss where there need be none.</summary>
public sealed class ConvertTests : FolderTests
{
    private static readonly string Model = Repository.Weights("tales659K.bin");

    private static BuiltProgram Convert(params string[] args)
    {
        BuiltProgram program = BuiltProgram.Run(["convert", .. args]);
        Assert.True(program.ExitCode == 0, program.Err);
        return program;
    }

    [Theory]
    [InlineData("tales659K_v1.bin", "--version", "1")]
    [InlineData("stories260K_v1.bin", "--version", "1", "--type", "f32")]
    public void A_checkpoint_that_was_a_GGUF_file_meanwhile_has_its_bytes(string input, params string[] options)
    {
        string? path = Repository.FindModel(input);
        Assert.SkipWhen(path is null, Repository.NoShared);
        Convert(path, At("there.gguf"), "--type", "f32");
        BuiltProgram back = Convert([At("there.gguf"), At("back.bin"), .. options]);
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(At("back.bin")));
        Assert.Contains("\nlargest error: 0\n", back.Out, StringComparison.Ordinal);
    }

    /// <summary>Of int8 weights those are meant that they stand for.</summary>
    [Theory]
    [InlineData("tales659K.bin")]
    [InlineData("tales659K_v1.bin")]
    [InlineData("tales659K_q80.bin")]
    [InlineData("stories260K.bin")]
    [InlineData("llama2xs.bin")]
    [InlineData("babyllama.bin")]
    [InlineData("aidreams260K.bin")]
    public void Logits_stay_the_same_bits_from_a_checkpoint_to_GGUF_and_back(string input)
    {
        string? path = Repository.FindModel(input);
        Assert.SkipWhen(path is null, Repository.NoShared);
        Convert(path, At("there.gguf"), "--type", "f32");
        Convert(At("there.gguf"), At("back.bin"));
        using ModelFile original = ModelFile.Open(path), there = ModelFile.Open(At("there.gguf")), back = ModelFile.Open(At("back.bin"));
        Weights weights = original.Weights.AreFloat32 ? original.Weights : Dequantised.Of(original.Weights);
        foreach (Func<Config, Weights, ITransformer> create in (Func<Config, Weights, ITransformer>[])
            [(c, w) => new Transformer(c, w), (c, w) => new FastTransformer(c, w, threads: 2)])
        {
            float[] expected = Logits(create(original.Config, weights));
            Bits.AssertEqual(expected, Logits(create(there.Config, there.Weights)), "GGUF");
            Bits.AssertEqual(expected, Logits(create(back.Config, back.Weights)), "back");
        }

        static float[] Logits(ITransformer created)
        {
            using ITransformer transformer = created;
            int vocab = transformer.Config.VocabSize;
            int[] tokens = [.. Enumerable.Range(0, 20).Select(i => (1 + 37 * i) % vocab)];
            float[] logits = new float[tokens.Length * vocab];
            KvCache cache = new(transformer.Config);
            transformer.Forward([.. tokens.Select(token => new Row(token, cache, Want.Logits))], logits);
            return logits;
        }
    }

    [Fact]
    public void Version_0_comes_back_with_its_tokenizer_and_but_for_tables_that_nobody_reads()
    {
        Convert(Model, At("there.gguf"), "--type", "f32");
        Convert(At("there.gguf"), At("back.bin"));
        byte[] expected = File.ReadAllBytes(Model), found = File.ReadAllBytes(At("back.bin"));
        int tables = expected.Length - 2 * 512 * 8 * sizeof(float); // (2, seq_len, head_size / 2), of PyTorch's cos and sin
        Assert.Equal(expected[..tables], found[..tables]);
        Assert.Equal(expected.Length, found.Length);
        Assert.Equal(File.ReadAllBytes(Repository.Weights("tok512-tales.bin")), File.ReadAllBytes(At("back.tokenizer.bin")));
        string[] options = ["-s", "3", "-n", "60", "--silent"];
        Assert.Equal(BuiltProgram.Run([Model, .. options]).Out, BuiltProgram.Run([At("back.bin"), .. options]).Out);
    }

    [Fact]
    public void A_chat_template_that_llama2_c_s_format_does_not_hold_is_said_to_be_left_out()
    {
        Convert(Model, At("without.gguf"));
        using (GgufModel gguf = (GgufModel)ModelFile.Open(At("without.gguf")))
        using (FileStream file = File.Create(At("with.gguf")))
        {
            GgufWriter writer = GgufModelWriter.Create(gguf, "f16");
            writer.Add("tokenizer.chat_template", "{{ messages }}");
            writer.Write(file);
        }
        foreach (string name in (string[])["without", "with"])
        {
            BuiltProgram program = BuiltProgram.Run("convert", At(name + ".gguf"), At(name + ".bin"));
            Assert.Equal(0, program.ExitCode);
            Assert.Equal(name == "with", program.Err.Contains("its chat template is left out", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Quantize_is_another_name_for_it()
    {
        Convert(Model, At("there.gguf"), "--type", "f32");
        Assert.Equal(0, BuiltProgram.Run("quantize", At("there.gguf"), At("int8.bin")).ExitCode);
        Assert.Equal(File.ReadAllBytes(Repository.Golden("tales659K_q80.bin")), File.ReadAllBytes(At("int8.bin")));
        Assert.Equal(0, BuiltProgram.Run("quantize", At("int8.bin"), At("int8.gguf")).ExitCode);
        using ModelFile file = ModelFile.Open(At("int8.gguf"));
        Assert.Equal("q8_0", file.Weights.DescribeTypes());
    }

    [Theory]
    [InlineData("out.gguf", "GGUF v3", "f16")]
    [InlineData("out", "GGUF v3", "f16")]
    [InlineData("out.bin", "llama2.c v0", "f32")]
    [InlineData("out.bin", "llama2.c v2", "q8_0 in groups of 32", "--type", "q8_0")]
    [InlineData("out", "llama2.c v1", "f32", "--version", "1")]
    [InlineData("out.bin", "llama2.c v2", "q8_0 in groups of 16", "--group", "16")]
    public void The_ending_chooses_the_format(string output, string format, string types, params string[] options)
    {
        Convert([Model, At(output), .. options]);
        using ModelFile file = ModelFile.Open(At(output));
        Assert.Equal((format, types), (file.Format, file.Weights.DescribeTypes()));
    }

    [Theory]
    [InlineData("out.bin", "--type: llama2.c's format holds f32 or q8_0, not q4_0", "--type", "q4_0")]
    [InlineData("out.gguf", "--version and --group are of llama2.c's format, not of .gguf", "--version", "1")]
    [InlineData("out.gguf", "--version and --group are of llama2.c's format, not of .gguf", "--group", "32")]
    [InlineData("out.bin", "--version 1 does not hold q8_0", "--version", "1", "--type", "q8_0")]
    public void Options_that_contradict_one_another_are_bad_usage(string output, string message, params string[] options)
    {
        BuiltProgram program = BuiltProgram.Run(["convert", Model, At(output), .. options]);
        Assert.Equal((1, "", $"llama2: {message}\n"), (program.ExitCode, program.Out, program.Err));
    }

    [Fact]
    public void What_the_format_cannot_say_is_refused_in_one_line_and_writes_nothing()
    {
        File.WriteAllBytes(At("in.gguf"), SmallGguf.Create(SmallGguf.Config with { RopeBase = 500000 }));
        BuiltProgram program = BuiltProgram.Run("convert", At("in.gguf"), At("out.bin"));
        Assert.Equal((2, "", $"llama2: {At("in.gguf")}: RoPE base: expected 10000, all that a file of llama2.c can say, found 500000\n"),
            (program.ExitCode, program.Out, program.Err));
        Assert.Equal([At("in.gguf")], Directory.GetFiles(Folder));
    }

    [Theory]
    [InlineData("q4_k")]
    [InlineData("q4_k_m")]
    [InlineData("q6_k")]
    public void Rows_that_are_not_of_whole_blocks_are_q8_0_as_a_line_says(string type)
    {
        BuiltProgram program = Convert(Model, At("out.gguf"), "--type", type);
        Assert.Contains(" of 43 matrices are q8_0, as their rows are not of whole blocks of 256 for q6_K", program.Err,
            StringComparison.Ordinal);
        Assert.Single(program.Err.TrimEnd('\n').Split('\n'));
        BuiltProgram story = BuiltProgram.Run(At("out.gguf"), "-t", "0", "-n", "30", "--silent");
        Assert.Equal((0, ""), (story.ExitCode, story.Err));
        using GgufFile file = GgufFile.Open(At("out.gguf"));
        Assert.Equal(TypeMix.Find(type).FileType, (uint)file.Metadata.GetInteger("general.file_type")!);
    }

    [Theory]
    [InlineData("Q4_K_M", "q4_k_m")]
    [InlineData("Q6_K", "q6_k")]
    public void Mixes_are_llama_cpp_s(string golden, string type)
    {
        string source = Repository.Shared("formats", "gguf", $"rand256-{golden}.gguf");
        Assert.SkipUnless(File.Exists(source), Golden.GgufGolden.NoFormats);
        Convert(source, At("out.gguf"), "--type", type);
        using GgufFile expected = GgufFile.Open(source), actual = GgufFile.Open(At("out.gguf"));
        Assert.Equal(expected.Tensors.Select(tensor => $"{tensor.Name} {tensor.Type}").Order(),
            actual.Tensors.Select(tensor => $"{tensor.Name} {tensor.Type}").Order());
        Assert.Equal(expected.Metadata.GetInteger("general.file_type"), actual.Metadata.GetInteger("general.file_type"));
    }

    // 260 MB of float32, of which one matrix has 256 MB, with a heap of 40 MB: no tensor is in memory as a whole.
    [Theory]
    [InlineData("out.gguf", "q4_0")]
    [InlineData("out.gguf", "q4_k")]
    [InlineData("out.bin", "q8_0")]
    public void It_takes_the_memory_of_a_few_rows(string output, string type)
    {
        CheckpointHeader header = new(1, new Config(1024, 256, 1, 8, 8, 1 << 16, 64), SharedClassifier: true);
        using (FileStream stream = File.Create(At("large.bin")))
        {
            stream.Write(header.ToBytes());
            stream.SetLength(header.FileLength); // zeros, which take no room on the disk
        }
        BuiltProgram.Setup setup = new() { Environment = { ["DOTNET_GCHeapHardLimit"] = "0x2800000" }, Timeout = TimeSpan.FromMinutes(4) };
        BuiltProgram program = BuiltProgram.Run(setup, "convert", At("large.bin"), At(output), "--type", type);
        Assert.True(program.ExitCode == 0, program.Err);
        using ModelFile file = ModelFile.Open(At(output));
        Assert.Equal(header.Config, file.Config);
    }

    [Fact]
    public async Task Ctrl_c_leaves_nothing()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        CheckpointHeader header = new(1, new Config(1024, 256, 1, 8, 8, 1 << 18, 64), SharedClassifier: true);
        using (FileStream stream = File.Create(At("large.bin")))
        {
            stream.Write(header.ToBytes());
            stream.SetLength(header.FileLength);
        }
        using Process process = BuiltProgram.Start(new BuiltProgram.Setup(), "convert", At("large.bin"), At("out.gguf"));
        while (!Directory.GetFiles(Folder, "out.gguf.*.tmp").Any(file => new FileInfo(file).Length > 1 << 20) && !process.HasExited)
            await Task.Delay(5, TestContext.Current.CancellationToken);
        BuiltProgram.Interrupt(process);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(130, process.ExitCode);
        Assert.Equal([At("large.bin")], Directory.GetFiles(Folder));
    }
}
