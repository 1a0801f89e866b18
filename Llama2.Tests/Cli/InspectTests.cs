using System.Runtime.InteropServices;
using System.Text.Json;
using Llama2.Fast;

namespace Llama2.Tests.Cli;

/// <summary>llama2 inspect as a process: what it says of a file is what is in it.</summary>
public sealed class InspectTests : FolderTests
{
    [Fact]
    public void The_default_model_is_described()
    {
        BuiltProgram program = BuiltProgram.Run("inspect");
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        string[] lines =
            [.. program.Out.Split('\n').Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];
        foreach (string line in new[] { "format llama2.c v0", "bytes 2,667,420", "parameters 658,656", "n_kv_heads 3", "kv_dim 48",
            "attention grouped-query",
            "longest_piece learned", "w2 6 x 96 x 256 f32 589,824", "rms_final_weight 96 f32 384" })
            Assert.Contains(line, lines);
        Assert.DoesNotContain(program.Out.Split('\n'), line => line.Length > 80 && !line.Contains("file", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("tales659K.bin", "v0", "f32")]
    [InlineData("tales659K_v1.bin", "v1", "f32")]
    [InlineData("tales659K_q80.bin", "v2", "q8_0 in groups of 32")]
    public void The_tensors_and_the_header_fill_the_file(string model, string version, string type)
    {
        string path = Repository.FindModel(model)!;
        JsonElement report = Json("inspect", path, "--json");
        Assert.Equal(path, report.GetProperty("file").GetString());
        Assert.Equal($"llama2.c {version}", report.GetProperty("format").GetString());
        Assert.Equal(type, report.GetProperty("type").GetString());
        Assert.Equal(658_656, report.GetProperty("parameters").GetInt32());
        Assert.Equal(new FileInfo(path).Length, report.GetProperty("bytes").GetInt64());
        long tensors = report.GetProperty("tensors").EnumerateArray().Sum(tensor => tensor.GetProperty("bytes").GetInt64());
        Assert.Equal(new FileInfo(path).Length, tensors + (version == "v0" ? 28 : 256));
    }

    [Fact]
    public void Memory_is_reckoned_for_a_context()
    {
        JsonElement memory = Json("inspect", "--json", "--context", "100").GetProperty("memory");
        Assert.Equal(2 * 6 * 100 * 48 * 4, memory.GetProperty("kv_cache").GetInt32());
        Assert.Equal(2 * 6 * 48 * 4, memory.GetProperty("kv_cache_per_token").GetInt32());
        Assert.Equal((4 * 96 + 2 * 256 + 6 * 100 + 512) * 4, memory.GetProperty("activations").GetInt32());
        Assert.Equal(2_667_420 + 2 * 6 * 100 * 48 * 4 + (4 * 96 + 2 * 256 + 6 * 100 + 512) * 4, memory.GetProperty("total").GetInt32());
        Assert.Equal(0, memory.GetProperty("speculation_adds").GetInt32()); // too small a model for it
    }

    [Fact]
    public void Memory_of_a_large_float32_model_says_what_drafting_with_a_copy_adds()
    {
        string path = At("large.bin");
        CheckpointHeader header = new(0, new Config(512, 1024, 3, 8, 8, 4096, 64), SharedClassifier: true);
        using (FileStream file = File.Create(path)) // zeros, which a file system need not store
        {
            file.Write(header.ToBytes());
            file.SetLength(header.FileLength);
        }
        JsonElement report = Json("inspect", path, "--json");
        long matrices = report.GetProperty("parameters").GetInt64() - (7 * 512);
        long adds = report.GetProperty("memory").GetProperty("speculation_adds").GetInt64();
        Assert.Equal(matrices + (matrices / 64 * 4), adds);
        Assert.InRange(adds, 1, 0.3 * report.GetProperty("bytes").GetInt64());
    }

    [Fact]
    public void Statistics_are_those_of_the_elements()
    {
        CheckpointHeader header = new(1, new Config(8, 16, 2, 2, 1, 50, 16), SharedClassifier: false);
        float[] floats = new float[(header.FileLength - header.Bytes) / sizeof(float)];
        Random random = new(1);
        foreach (ref float value in floats.AsSpan())
            value = random.NextSingle() - 0.5f;
        int wcls = floats.Length - 50 * 8; // the last tensor
        (floats[wcls + 3], floats[wcls + 9], floats[wcls + 11], floats[wcls + 12]) = (100, -90, float.NaN, float.PositiveInfinity);
        string path = At("random.bin");
        File.WriteAllBytes(path, [.. header.ToBytes(), .. MemoryMarshal.AsBytes<float>(floats)]);

        JsonElement[] rows = [.. Json("inspect", path, "--json", "--stats").GetProperty("tensors").EnumerateArray()];
        Assert.Equal(9 * 2 + 3, rows.Length); // nine kinds in each layer; embedding, final norm and classifier
        float[] last = [.. floats[wcls..].Where(float.IsFinite)];
        AssertStatistics(rows[^1], "wcls", last, outliers: 2, notFinite: 2);
        AssertStatistics(rows[1], "rms_att_weight[1]", floats[8..16], 0, 0);
        Assert.Equal(2, BuiltProgram.Run("inspect", path, "--stats").Out.Split('\n')
            .Count(line => line.StartsWith("wq[", StringComparison.Ordinal)));
    }

    private static void AssertStatistics(JsonElement row, string name, float[] elements, int outliers, int notFinite)
    {
        Assert.Equal(name, row.GetProperty("tensor").GetString());
        Assert.Equal(elements.Min(), row.GetProperty("min").GetSingle());
        Assert.Equal(elements.Max(), row.GetProperty("max").GetSingle());
        Assert.Equal(elements.Average(value => (double)value), row.GetProperty("mean").GetDouble(), 1e-6);
        Assert.Equal(outliers, row.GetProperty("outliers").GetInt32());
        Assert.Equal(notFinite, row.GetProperty("not_finite").GetInt32());
    }

    [Fact]
    public void A_model_without_a_tokenizer_is_still_described()
    {
        string path = At("model.bin");
        File.Copy(Repository.Weights("tales659K.bin"), path);
        BuiltProgram program = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Folder }, "inspect", "model.bin");
        Assert.Equal(0, program.ExitCode);
        Assert.Matches("(?m)^tokenizer +model.bin: tokenizer: expected a file that -z FILE names", program.Out);
        Assert.Equal(512, Json("inspect", path, "--json", "-z", Repository.Weights("tok512-tales.bin")).GetProperty("tokenizer")
            .GetProperty("tokens").GetInt32());
        BuiltProgram.Run("inspect", path, "-z", path).AssertFails(2, "model.bin: file: expected a tokenizer of llama2.c, found ");
    }

    [Fact]
    public void The_kernels_are_listed_with_the_one_that_is_taken()
    {
        JsonElement cpu = Json("inspect", "--cpu", "--json");
        Assert.Equal(FastTransformer.AllKernelNames, cpu.GetProperty("kernels").EnumerateArray()
            .Select(kernel => kernel.GetProperty("kernel").GetString()));
        Assert.Equal(FastTransformer.KernelNames, cpu.GetProperty("kernels").EnumerateArray()
            .Where(kernel => kernel.GetProperty("supported").GetBoolean()).Select(kernel => kernel.GetProperty("kernel").GetString()));

        BuiltProgram.Setup scalar = new() { Environment = { [FastTransformer.KernelVariable] = "scalar" } };
        Assert.Matches("(?m)^chosen +scalar\\nbecause +LLAMA2_KERNEL says so$", BuiltProgram.Run(scalar, "inspect", "--cpu").Out);
        BuiltProgram.Setup none = new() { Environment = { [FastTransformer.KernelVariable] = "abacus" } };
        BuiltProgram.Run(none, "inspect", "--cpu").AssertFails(1, "no kernel abacus");
        BuiltProgram.Setup plain = new() { Environment = { ["DOTNET_EnableHWIntrinsic"] = "0", [FastTransformer.KernelVariable] = null } };
        Assert.Matches("(?m)^chosen +scalar\\nbecause +it is the first that this machine supports$",
            BuiltProgram.Run(plain, "inspect", "--cpu").Out);
    }

    [Fact]
    public void Bad_input_is_one_line()
    {
        BuiltProgram.Run("inspect", "nothing.bin").AssertFails(2, "nothing.bin: file: expected a file, found nothing there");
        BuiltProgram.Run("inspect", Repository.Weights("tok512-tales.bin")).AssertFails(2, "tok512-tales.bin: ");
        BuiltProgram.Run("inspect", "--context", "0").AssertFails(1, "--context: expected 1 to 512, found 0");
        BuiltProgram.Run("inspect", "--context", "513").AssertFails(1, "--context: expected 1 to 512, found 513");
        BuiltProgram.Run("inspect", "--cpu", "stories15M").AssertFails(1, "--cpu");
    }

    private static JsonElement Json(params string[] args)
    {
        BuiltProgram program = BuiltProgram.Run(args);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        return JsonDocument.Parse(program.Out).RootElement;
    }
}
