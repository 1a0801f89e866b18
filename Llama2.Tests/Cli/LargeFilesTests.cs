using System.Diagnostics;
using System.Text.Json;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Cli;

/// <summary>The program on models and sessions whose sizes are beyond 32 bits, and the memory it takes besides a model's file.</summary>
public sealed class LargeFilesTests : FolderTests
{
    [Fact]
    public void A_model_of_40_GB_is_inspected()
    {
        using SparseGguf sparse = new(640, GgmlType.F32);
        BuiltProgram program = BuiltProgram.Run("inspect", sparse.Path, "--json");
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        JsonElement report = JsonDocument.Parse(program.Out).RootElement;
        Assert.Equal(new FileInfo(sparse.Path).Length, report.GetProperty("bytes").GetInt64());
        JsonElement table = report.GetProperty("tensors").EnumerateArray().Last();
        Assert.Equal([1 << 24, 640], table.GetProperty("shape").EnumerateArray().Select(size => size.GetInt32()));
        Assert.Equal(40L << 30, table.GetProperty("bytes").GetInt64());
        Assert.True(report.GetProperty("parameters").GetInt64() > 10L << 30);
    }

    /// <summary>Heads times positions is 2^31, whose scores take 8 GB; in 32 bits that is a negative number of them.</summary>
    [Theory]
    [InlineData(1024, 1)]
    [InlineData(2048, 2)]
    public void A_session_whose_scores_pass_2_to_31_is_refused_where_memory_ends(int heads, int kvHeads)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs a limit of memory");
        const int Positions = 1 << 21;
        CheckpointHeader header = new(1, new Config(2 * heads, 1, 1, heads, kvHeads, 512, 1 << 24), SharedClassifier: true);
        using (FileStream stream = File.Create(At("model")))
        {
            stream.Write([.. "24ka"u8, 1, 0, 0, 0, .. header.Config.Fields.SelectMany(BitConverter.GetBytes), 1]);
            stream.SetLength(header.FileLength); // of holes
        }
        using (Checkpoint checkpoint = Checkpoint.Open(At("model")))
        using (FileStream stream = File.Create(At("session")))
        {
            KvCache cache = new(checkpoint.Config, Positions);
            for (int i = 0; i < Positions; i++)
                cache.Advance();
            byte[] fingerprint = ModelFingerprint.Of(checkpoint.Config, checkpoint.Weights);
            SessionFile.Write(stream, new SavedSession(new int[Positions + 1], cache, 0, 1, 1), checkpoint.Config, fingerprint, "fast");
        }
        BuiltProgram.Setup limited = new()
        {
            Under = ["bash", "-c", "ulimit -v 7000000; exec \"$@\"", "bash"],
            Environment = { ["DOTNET_GCHeapHardLimit"] = "20000000" }, // 512 MB, in hex
        };
        BuiltProgram.Run(limited, At("model"), "-z", Repository.Weights("tok512-tales.bin"), "-n", "1", "--load-session", At("session"),
            "--silent").AssertFails(2, "memory");
    }

    /// <summary>Of a model's file that is mapped nothing is copied, so that other programs and the system have the memory.</summary>
    [Theory]
    [InlineData("f32")]
    [InlineData("q8_0")]
    public void A_model_takes_its_file_and_its_cache_and_at_most_100_MB(string type)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc");
        Config config = new(1024, 2048, 4, 8, 8, 512, 512);
        File.WriteAllBytes(At("f32.gguf"), SmallGguf.Create(config, values => values.Remove("tokenizer.ggml.tokens")));
        if (type != "f32")
            Assert.Equal(0, BuiltProgram.Run("convert", At("f32.gguf"), At(type + ".gguf"), "--type", type).ExitCode);
        string[] args =
        [
            "chat", At(type + ".gguf"), "-z", Repository.Weights("tok512-tales.bin"), "--template", "plain", "-s", "1", "-n", "40",
            "--silent", "--speculate", "off",
        ];
        const string Line = "Once upon a time\n";
        string answer = BuiltProgram.Run(new BuiltProgram.Setup { Input = Line }, args).Out;
        Assert.True(answer.Length > 40);

        using Process process = BuiltProgram.Start(new BuiltProgram.Setup(), args);
        process.StandardInput.Write(Line);
        process.StandardInput.Flush();
        char[] read = new char[answer.Length - 1]; // the last line feed comes when the input ends
        Assert.Equal(read.Length, process.StandardOutput.ReadBlock(read));
        string anonymous = File.ReadLines($"/proc/{process.Id}/status")
            .Single(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
        process.StandardInput.Close();
        Assert.Equal(0, BuiltProgram.ExitCodeOf(process, new BuiltProgram.Setup()));
        long cache = 2L * config.LayerCount * 64 * config.KvDim * sizeof(float);
        Assert.InRange(long.Parse(anonymous.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) << 10, 1 << 20, cache + (100 << 20));
        if (type == "f32")
            Assert.True(new FileInfo(At("f32.gguf")).Length > cache + (100 << 20)); // a copy would show
    }
}
