using System.Diagnostics;
using Llama2.Simple.Formats.Gguf;
using static Llama2.Tests.Cli.FaultyServer;

namespace Llama2.Tests.Cli;

/// <summary>pull judges a file by its contents, leaves nothing of no use, and is not led astray by servers or planted files.</summary>
public sealed class FilesPullTests : FolderTests
{
    private static readonly byte[] Model = File.ReadAllBytes(Repository.Weights("tales659K.bin"));
    private static readonly byte[] TokenizerBytes = File.ReadAllBytes(Repository.Weights("tok512-tales.bin"));

    private string Weights(string file = "") => Path.Combine(Folder, "weights", file);

    private BuiltProgram Pull(params string[] args) =>
        BuiltProgram.Run(
            new BuiltProgram.Setup { WorkingDirectory = Folder, Environment = { [ModelFolder.Variable] = "weights" } },
            ["pull", .. args]);

    [Theory]
    [InlineData("my_tokenizer.bin", true)]
    [InlineData("vocab", true)]
    [InlineData("stories.bin", true)]
    [InlineData("tokyo260K.bin", false)]
    [InlineData("tokenizer.bin", false)]
    [InlineData("story.txt", false)]
    public void A_file_is_what_is_in_it_whatever_its_name(string name, bool isTokenizer)
    {
        byte[] bytes = isTokenizer ? TokenizerBytes : Model;
        using FaultyServer server = new(_ => new Reply(bytes));
        Assert.Equal(0, Pull($"{server.Address}/{name}").ExitCode);
        Assert.Equal(bytes, File.ReadAllBytes(Weights(name)));
    }

    [Fact]
    public void A_GGUF_file_of_a_URL_runs_by_its_name()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"), checkpoint.Config.VocabSize);
        using MemoryStream gguf = new();
        GgufModelWriter.Create("tales", checkpoint.Config, checkpoint.Weights, tokenizer, "f32").Write(gguf);
        using FaultyServer server = new(request => request.Target.StartsWith("/cdn", StringComparison.Ordinal)
            ? new Reply(gguf.ToArray()) : new Reply([]) { Status = 302, Headers = ["Location: /cdn/4f1b"] });
        BuiltProgram pull = Pull($"{server.Address}/someone/resolve/main/some-tales.F32.gguf?download=true", "--to", "weights");
        Assert.Equal((0, ""), (pull.ExitCode, pull.Out));
        Assert.Equal(gguf.ToArray(), File.ReadAllBytes(Weights("some-tales.F32.gguf")));
        string[] options = ["-t", "0", "-n", "30", "--silent"];
        BuiltProgram run = BuiltProgram.Run([Weights("some-tales.F32.gguf"), .. options]);
        Assert.Equal((0, BuiltProgram.Run(options).Out), (run.ExitCode, run.Out));
    }

    [Theory]
    [InlineData("404", "the server answers 404 NotFound")]
    [InlineData("redirect loop", "more than 10 redirects")]
    [InlineData("page", "found an HTML page")]
    [InlineData("Git LFS", "found a Git LFS pointer")]
    [InlineData("cut checkpoint", "length: expected")]
    [InlineData("cut tokenizer", "token ")]
    [InlineData("Location: //[", "refused a redirect to what is no URL")]
    [InlineData("Location: ///", "refused a redirect to what is no URL")]
    [InlineData("Location: http://", "the server answers 302")]
    [InlineData("Location: http:///model.bin", "the server answers 302")]
    public void A_failure_is_one_line_and_leaves_nothing(string what, string message)
    {
        using FaultyServer server = new(_ => what switch
        {
            "404" => new Reply([]) { Status = 404 },
            "redirect loop" => new Reply([]) { Status = 302, Headers = ["Location: /model.bin"] },
            "page" => new Reply("<html><title>Log in</title></html>"u8.ToArray()),
            "Git LFS" => new Reply("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"u8.ToArray()),
            "cut checkpoint" => new Reply(Model[..^1]),
            "cut tokenizer" => new Reply(TokenizerBytes[..^1]),
            _ => new Reply([]) { Status = 302, Headers = [what] },
        });
        Pull(server.Address + "/model.bin").AssertFails(2, message);
        Assert.Empty(Directory.GetFiles(Weights()));
    }

    [Fact]
    public void A_wrong_length_leaves_nothing()
    {
        using FaultyServer server = new(_ => new Reply(Model));
        BuiltProgram.Setup setup = new()
        {
            WorkingDirectory = Folder,
            Environment = { [Hub.MirrorVariable] = server.Address, [ModelFolder.Variable] = "weights" },
        };
        BuiltProgram run = BuiltProgram.Run(setup, "pull", "stories15M");
        Assert.Equal(2, run.ExitCode);
        Assert.Empty(Directory.GetFiles(Weights()));
    }

    [Theory]
    [InlineData("link")]
    [InlineData("dangling link")]
    [InlineData("fifo")]
    [InlineData("hard link")]
    [InlineData("file of another user")]
    public void What_somebody_planted_as_the_part_is_not_written(string what)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        string victim = At("victim"), part = Weights("model.bin.part");
        Directory.CreateDirectory(At("weights"));
        File.WriteAllText(victim, "mine");
        if (what is "hard link" or "file of another user")
            Assert.SkipUnless(OperatingSystem.IsLinux(), "hard links and owners are asked of Linux's statx");
        if (what == "file of another user")
        {
            Assert.SkipUnless(Environment.UserName == "root", "root alone can give a file away");
            File.Copy(victim, part);
            Process.Start("chown", ["65534", part]).WaitForExit();
        }
        else if (what is "fifo" or "hard link")
        {
            Process.Start(what == "fifo" ? "mkfifo" : "ln", what == "fifo" ? [part] : [victim, part]).WaitForExit();
        }
        else
        {
            File.CreateSymbolicLink(part, what == "link" ? victim : victim + ".new");
        }
        using FaultyServer server = new(_ => new Reply(Model));
        BuiltProgram run = Pull(server.Address + "/model.bin");
        Assert.Equal((2, "llama2: weights/model.bin: cannot be written: "
            + "weights/model.bin.part is no plain file of yours alone; remove it\n"),
            (run.ExitCode, run.Err));
        Assert.Equal("mine", File.ReadAllText(victim));
        Assert.False(File.Exists(victim + ".new") || File.Exists(Weights("model.bin")));
    }

    [Theory]
    [InlineData("http://me:secret@HOST/model.bin", 2)]
    [InlineData("http://me:secret@HOST/model.bin?signature=secret", 2)]
    [InlineData("http://me:secret@HOST/", 1)]
    [InlineData("ftp://me:secret@HOST/model.bin", 1)]
    [InlineData("http://me:secret@", 1)]
    public void A_password_is_not_shown(string url, int exitCode)
    {
        using FaultyServer server = new(_ => new Reply([]) { Status = 404 });
        BuiltProgram run = Pull(url.Replace("HOST", server.Address["http://".Length..], StringComparison.Ordinal));
        Assert.Equal(exitCode, run.ExitCode);
        Assert.DoesNotContain("secret", run.Err, StringComparison.Ordinal);
        Assert.StartsWith("llama2: ", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/model.bin", "/model.bin")]
    [InlineData("/model.bin", "/elsewhere/model.bin")]
    [InlineData("/model.bin", "/model.bin", "--force")]
    public async Task Two_programs_that_pull_one_name_do_not_mix(string first, string second, params string[] options)
    {
        using SemaphoreSlim asked = new(0), answered = new(0);
        using FaultyServer server = new(_ =>
        {
            asked.Release();
            answered.Wait();
            return new Reply(Model);
        });
        Task<BuiltProgram> one = Task.Run(() => Pull(server.Address + first));
        await asked.WaitAsync(TestContext.Current.CancellationToken);
        BuiltProgram two = Pull([server.Address + second, .. options]);
        answered.Release();
        Assert.Equal((2, "llama2: weights/model.bin: cannot be written: another program writes it now\n"), (two.ExitCode, two.Err));
        Assert.Equal(0, (await one).ExitCode);
        Assert.Equal(Model, File.ReadAllBytes(Weights("model.bin")));
        Assert.Single(Directory.GetFiles(Weights()));
        Assert.Single(server.Requests);
    }

    [Fact]
    public void A_name_with_control_characters_is_shown_and_not_obeyed()
    {
        using FaultyServer server = new(_ => new Reply(Model));
        BuiltProgram run = Pull(server.Address + "/%1B%5D0;title%07%C2%9B2J.bin");
        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith(@"weights/^[]0;title^G\x9b2J.bin: ", run.Err, StringComparison.Ordinal);

        run = Pull(server.Address + "/%1B%5D0;title%07%C2%9B2J.bin");
        Assert.StartsWith(@"llama2: weights/^[]0;title^G\x9b2J.bin is there", run.Err, StringComparison.Ordinal);
        run = BuiltProgram.Run("\u001b[2J.bin");
        Assert.StartsWith(@"llama2: ^[[2J.bin: ", run.Err, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_larger_than_the_bound_is_refused_before_it_comes()
    {
        using FaultyServer server = new(_ => new Reply(Model) { LieAboutLength = 1_500_000_000 });
        BuiltProgram run = Pull(server.Address + "/model.bin", "--max-gb", "1");
        Assert.Equal(2, run.ExitCode);
        Assert.Contains("length: expected at most 1000000000 bytes (see --max-gb), found 1502667420", run.Err, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Weights()));
        Assert.Equal(1, Pull(server.Address + "/model.bin", "--max-gb", "0").ExitCode);
    }
}
