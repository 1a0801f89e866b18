using System.Diagnostics;
using System.Security.Cryptography;
using static Llama2.Tests.Cli.FaultyServer;

namespace Llama2.Tests.Cli;

/// <summary>llama2 pull as a process, against a server on this machine.</summary>
public sealed class PullTests : FolderTests
{
    private static readonly byte[] Model = File.ReadAllBytes(Repository.Weights("tales659K.bin"));

    /// <summary>The header by which Hugging Face tells a checksum.</summary>
    private static readonly string ModelChecksum = $"X-Linked-Etag: \"{Convert.ToHexString(SHA256.HashData(Model))}\"";

    private string Weights(string file) => Path.Combine(Folder, "weights", file);

    [Fact]
    public void A_url_is_downloaded_into_weights()
    {
        using FaultyServer server = new(_ => new Reply(Model));
        BuiltProgram program = Pull(server.Address + "/some/my%20model.bin?download=true");
        Assert.Equal((0, ""), (program.ExitCode, program.Out));
        Assert.Contains($"my model.bin: {Model.Length} bytes, no checksum is known", program.Err, StringComparison.Ordinal);
        Assert.Equal(Model, File.ReadAllBytes(Weights("my model.bin")));
        Assert.Single(Directory.GetFiles(Weights("")));
    }

    [Fact]
    public void A_model_comes_with_its_tokenizer_and_is_found_by_its_name()
    {
        Repository.SkipWithoutShared();
        using FaultyServer server = new(request => request.Target switch
        {
            "/karpathy/tinyllamas/resolve/main/stories260K/stories260K.bin" =>
                new Reply(File.ReadAllBytes(Repository.Shared("weights", "stories260K.bin"))),
            "/karpathy/tinyllamas/resolve/main/stories260K/tok512.bin" =>
                new Reply(File.ReadAllBytes(Repository.Shared("weights", "tok512.bin"))),
            _ => new Reply([]) { Status = 404 },
        });
        BuiltProgram program = Run(server, "pull", "stories260K");
        Assert.Equal(0, program.ExitCode);
        Assert.Contains("checksum verified", program.Err, StringComparison.Ordinal);
        Assert.StartsWith("Once upon a time, there was a little girl", Run(server, "stories260K", "-t", "0").Out, StringComparison.Ordinal);

        program = Run(server, "pull", "stories260K");
        Assert.Equal((0, 2), (program.ExitCode, server.Requests.Count));
        Assert.Contains("there already", program.Err, StringComparison.Ordinal);
    }

    [Fact]
    public void The_tokenizer_comes_from_its_place_and_must_be_the_one_that_is_known()
    {
        Repository.SkipWithoutShared();
        byte[] tokenizer = File.ReadAllBytes(Repository.Shared("weights", "tokenizer.bin"));
        using FaultyServer server = new(request => request.Target == "/karpathy/llama2.c/raw/master/tokenizer.bin" ? new Reply(tokenizer)
            : new Reply([]) { Status = 404 });
        Assert.Equal(0, Run(server, "pull", "tokenizer").ExitCode);
        Assert.Equal(tokenizer, File.ReadAllBytes(Weights("tokenizer.bin")));

        File.Delete(Weights("tokenizer.bin"));
        tokenizer[9] ^= 1;
        AssertFails(Run(server, "pull", "tokenizer"), 2,
            "checksum: expected 50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361, found ");
    }

    [Theory]
    [InlineData("stories15M", 60_816_028)]
    [InlineData("stories42M", 167_020_572)]
    [InlineData("stories110M", 438_381_596)]
    public void A_model_of_another_size_than_its_own_is_refused(string name, int length)
    {
        using FaultyServer server = new(_ => new Reply(Model));
        AssertFails(Run(server, "pull", name), 2,
            $"/karpathy/tinyllamas/resolve/main/{name}.bin: length: expected {length} bytes, found {Model.Length}");
    }

    [Fact]
    public void A_page_is_no_model()
    {
        using FaultyServer server = new(_ => new Reply("<html>Please pay for the network first.</html>"u8.ToArray()));
        foreach (string name in new[] { "model.bin", "tokenizer.bin" })
        {
            AssertFails(Pull($"{server.Address}/{name}"), 2,
                $"{server.Address}/{name}: file: expected a checkpoint or a tokenizer of llama2.c, or a GGUF file, found an HTML page",
                ".part");
        }
    }

    [Fact]
    public void A_missing_file_is_said_at_once()
    {
        using FaultyServer server = new(_ => new Reply([]) { Status = 404 });
        AssertFails(Pull(server.Address + "/model.bin"), 2, $"{server.Address}/model.bin: the server answers 404 NotFound");
        Assert.Single(server.Requests);
    }

    [Fact]
    public void What_is_there_is_not_replaced_unasked()
    {
        Directory.CreateDirectory(At("weights"));
        File.WriteAllText(Weights("model.bin"), "mine");
        using FaultyServer server = new(_ => new Reply(Model));
        AssertFails(Pull(server.Address + "/model.bin"), 1, "--force replaces it");
        Assert.Equal("mine", File.ReadAllText(Weights("model.bin")));
        Assert.Empty(server.Requests);

        Assert.Equal(0, Pull(server.Address + "/model.bin", "--force").ExitCode);
        Assert.Equal(Model, File.ReadAllBytes(Weights("model.bin")));
    }

    [Theory]
    [InlineData("stories1T")]
    [InlineData("http://127.0.0.1/")]
    [InlineData("http://127.0.0.1/a%2Fb")]
    [InlineData("file:///etc/passwd")]
    public void What_is_no_name_and_no_url_of_a_file_is_bad_usage(string name) => AssertFails(Pull(name), 1, $"found {name}");

    [Fact]
    public void A_mirror_that_is_no_url_is_bad_usage() =>
        AssertFails(BuiltProgram.Run(With(Hub.MirrorVariable, "nonsense"), "pull", "stories15M"), 1, "LLAMA2_HUB: ");

    [Fact]
    public void Another_folder_is_made()
    {
        using FaultyServer server = new(_ => new Reply(Model));
        Assert.Equal(0, Pull(server.Address + "/model.bin", "--to", "a/b").ExitCode);
        Assert.Equal(Model, File.ReadAllBytes(Path.Combine(Folder, "a", "b", "model.bin")));
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_one_line()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc");
        using FaultyServer server = new(_ => new Reply(Model));
        AssertFails(Pull(server.Address + "/model.bin", "--to", "/proc"), 2, "/proc/model.bin: cannot be written: ");
        AssertFails(Pull(server.Address + "/model.bin", "--to", "/proc/no"), 2, "/proc/no: cannot be written: ");
    }

    [Fact]
    public void A_full_disk_is_one_line_and_later_it_goes_on()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs ulimit");
        using FaultyServer server = new(_ => new Reply(Model) { Headers = [ModelChecksum] });
        BuiltProgram.Setup full = Here() with { Under = BuiltProgram.FullDisk(1024) };
        AssertFails(BuiltProgram.Run(full, "pull", server.Address + "/model.bin"), 2, "model.bin: cannot be written: ");
        Assert.False(File.Exists(Weights("model.bin")));
        Assert.Equal(0, Pull(server.Address + "/model.bin").ExitCode);
        Assert.Equal(Model, File.ReadAllBytes(Weights("model.bin")));
    }

    [Fact]
    public async Task Ctrl_c_keeps_the_part_and_the_next_run_goes_on()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        string[] checksum = [ModelChecksum];
        using FaultyServer server = new(_ => new Reply(Model) { Headers = checksum, Stalls = true });
        using (Process process = BuiltProgram.Start(Here(), "pull", server.Address + "/model.bin"))
        {
            Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            while (!process.HasExited && (!File.Exists(Weights("model.bin.part")) || new FileInfo(Weights("model.bin.part")).Length == 0))
                await Task.Delay(20, TestContext.Current.CancellationToken);
            BuiltProgram.Interrupt(process);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.Equal(130, process.ExitCode);
            Assert.Matches("^llama2: interrupted; .*\\n$", await error);
        }
        Assert.Equal([Weights("model.bin.part")], Directory.GetFiles(Weights("")));
        using FaultyServer next = new(_ => new Reply(Model) { Headers = checksum });
        Assert.Equal(0, Pull(next.Address + "/model.bin").ExitCode);
        Assert.Equal(1, next.Requests.Last().From);
    }

    [Fact]
    public void A_proxy_is_asked_where_the_variables_name_one()
    {
        using FaultyServer proxy = new(_ => new Reply(Model));
        BuiltProgram.Setup setup = With("http_proxy", proxy.Address);
        setup.Environment["no_proxy"] = null;
        BuiltProgram program = BuiltProgram.Run(setup, "pull", "http://models.invalid/model.bin");
        Assert.Equal(0, program.ExitCode);
        Assert.Equal("http://models.invalid/model.bin", proxy.Requests.First().Target);
    }

    private BuiltProgram Pull(params string[] args) =>
        BuiltProgram.Run(Here(), ["pull", .. args]);

    private BuiltProgram Run(FaultyServer server, params string[] args) =>
        BuiltProgram.Run(With(Hub.MirrorVariable, server.Address), args);

    private BuiltProgram.Setup With(string variable, string value) =>
        Here() with { Environment = new() { [ModelFolder.Variable] = "weights", [variable] = value } };

    /// <summary>The user's own folder is weights/ here.</summary>
    private BuiltProgram.Setup Here() =>
        new() { WorkingDirectory = Folder, Environment = { [ModelFolder.Variable] = "weights" } };

    /// <summary>One line on stderr, the exit code, and nothing in weights/ that was not there before.</summary>
    private void AssertFails(BuiltProgram program, int exitCode, string message, string unwanted = "stack")
    {
        program.AssertFails(exitCode, message);
        Assert.DoesNotContain(unwanted, program.Err, StringComparison.Ordinal);
        if (Directory.Exists(Weights("")))
            Assert.DoesNotContain(Directory.GetFiles(Weights("")), file => file.EndsWith(".bin", StringComparison.Ordinal)
                && File.ReadAllText(file) != "mine");
    }
}
