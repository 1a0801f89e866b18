using System.Diagnostics;
using System.Runtime.Versioning;

namespace Llama2.Tests.Cli;

/// <summary>Unusual files: nothing of the user's is lost, shown to others or blown up.</summary>
public sealed class FilesSafetyTests : FolderTests
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void A_session_is_private_and_a_file_that_is_replaced_keeps_its_permissions()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "has no such permissions");
        string[] persist = ["--persist-session", At("s"), "-n", "3", "--ignore-eos"];
        Assert.Equal(0, BuiltProgram.Run(persist).ExitCode);
        Assert.Equal(Private, File.GetUnixFileMode(At("s")));
        foreach (UnixFileMode mode in new[] { Private, Private | UnixFileMode.GroupRead, Private | UnixFileMode.OtherWrite })
        {
            File.SetUnixFileMode(At("s"), mode);
            Assert.Equal(0, BuiltProgram.Run(persist).ExitCode);
            Assert.Equal(mode, File.GetUnixFileMode(At("s")));
        }
        File.WriteAllText(At("q.bin"), "before");
        File.SetUnixFileMode(At("q.bin"), Private);
        Assert.Equal(0, BuiltProgram.Run("quantize", Repository.Weights("tales659K.bin"), At("q.bin")).ExitCode);
        Assert.Equal(Private, File.GetUnixFileMode(At("q.bin")));
    }

    [Fact]
    public async Task A_pipe_is_written_and_stays_a_pipe()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        await Process.Start("mkfifo", [At("fifo")]).WaitForExitAsync(TestContext.Current.CancellationToken);
        Task<byte[]> reader = Task.Run(() => File.ReadAllBytes(At("fifo")), TestContext.Current.CancellationToken);
        Assert.Equal(0, BuiltProgram.Run("-n", "3", "-s", "1", "--save-session", At("fifo")).ExitCode);
        BuiltProgram.Run("-n", "3", "-s", "1", "--save-session", At("file"));
        if (!reader.IsCompleted)
            await Task.WhenAny(reader, Task.Delay(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken));
        Assert.True(reader.IsCompleted, "the pipe got nothing");
        Assert.Equal(File.ReadAllBytes(At("file")), await reader);
    }

    [Theory]
    [InlineData("-n", "3", "-s", "1", "--save-session", "OUT")]
    [InlineData("quantize", "tales659K", "OUT")]
    [InlineData("bench", "--quick", "--threads", "1", "-n", "2", "--json", "OUT")]
    public void Nothing_is_written_through_a_planted_link_nor_in_place_under_dev(params string[] args)
    {
        Assert.SkipUnless(Directory.Exists("/dev/shm"), "needs /dev/shm");
        string[] ending = args[0] == "quantize" ? [".tokenizer.bin", ""] : [""];
        string place = Path.Combine("/dev/shm", Path.GetRandomFileName());
        try
        {
            // exec keeps the shell's process id, which the temporary name once had in it
            BuiltProgram.Setup planted = new()
            {
                Under = ["bash", "-c", $"for name in {place}.$$.tmp {place}.tmp; do ln -s {At("victim")} $name; done; exec \"$@\"", "bash"],
            };
            File.WriteAllText(At("victim"), "mine");
            File.WriteAllText(place, args[0] == "-n" ? "" : new string(' ', 4 << 20)); // longer than what replaces it
            BuiltProgram run = BuiltProgram.Run(planted, [.. args.Select(arg => arg == "OUT" ? place : arg)]);
            Assert.True(run.ExitCode == 0, run.Err);
            Assert.Equal("mine", File.ReadAllText(At("victim")));
            Assert.InRange(new FileInfo(place).Length, 100, 1 << 20);
            Assert.Equal(2 + ending.Length, Directory.GetFiles("/dev/shm", Path.GetFileName(place) + "*").Length);
        }
        finally
        {
            foreach (string file in Directory.GetFiles("/dev/shm", Path.GetFileName(place) + "*"))
                File.Delete(file);
        }
    }

    [Theory]
    [InlineData("/dev/stdout")]
    [InlineData("/dev/fd/1")]
    [InlineData("/proc/self/fd/1")]
    public void The_program_s_own_stdout_in_a_pipe_is_written_in_place(string path)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "those are Linux's names");
        string[] args = ["-n", "3", "-s", "1", "--silent", "--save-session"];
        BuiltProgram.Setup counts = new() { Under = ["bash", "-c", "\"$@\" | wc -c", "bash"] };
        long story = BuiltProgram.Run([.. args, At("file")]).Out.Length;
        BuiltProgram piped = BuiltProgram.Run(counts, [.. args, path]);
        Assert.Equal(($"{story + new FileInfo(At("file")).Length}\n", ""), (piped.Out, piped.Err));
    }

    [Theory]
    [InlineData("a\0b")]
    [InlineData("")]
    public void A_path_that_can_be_none_does_not_lose_the_conversation(string path)
    {
        BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { Input = $"Hello\n/save {path}\n/save {At("s")}\n" },
            "chat", "-n", "20");
        Assert.Equal(0, run.ExitCode);
        Assert.True(File.Exists(At("s")));
    }

    [Theory]
    [InlineData("--batch", "{\"prompt\": \"", "\"}")]
    [InlineData("--prompt-file", "", "")]
    [InlineData("-m", "", "\n")]
    public void A_long_text_takes_memory_in_proportion(string option, string before, string behind)
    {
        const int Megabytes = 32;
        File.WriteAllText(At("text"), before + string.Concat(Enumerable.Repeat("Tom and Sue went", Megabytes << 16)) + behind);
        BuiltProgram.Setup tenfold = new()
        {
            Environment = { ["DOTNET_GCHeapHardLimit"] = $"{10L * Megabytes << 20:x}" },
            Under = ["bash", "-c", $"\"$@\" < '{At("text")}'", "bash"],
        };
        string[] args = option == "-m" ? ["-m", "chat", "-y", ""] : [option, "-"];
        BuiltProgram run = BuiltProgram.Run(tenfold, [.. args, "-n", "20", "-t", "0"]);
        Assert.Equal((0, true), (run.ExitCode, run.Out.Length > 0));
        Assert.Contains(option == "-m" ? "20 tokens used up" : "of more than ", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--prompt-file")]
    [InlineData("--batch")]
    public void A_text_without_end_is_refused(string option)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/dev/zero");
        BuiltProgram.Setup limited = new() { Environment = { ["DOTNET_GCHeapHardLimit"] = $"{900L << 20:x}" } };
        BuiltProgram run = BuiltProgram.Run(limited, option, "/dev/zero", "-n", "5", "--silent");
        string message = "llama2: /dev/zero: expected at most 268435456 bytes of text, found more\n";
        Assert.Equal((2, "", message), (run.ExitCode, run.Out, run.Err));
    }

    [Fact]
    public void A_file_of_holes_takes_no_memory()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "files of holes");
        BuiltProgram.Setup small = new() { Environment = { ["DOTNET_GCHeapHardLimit"] = "2000000" } }; // 32 MB, in hex
        CheckpointHeader header = new(0, new Config(2, 1, 2_000_000, 1, 1, 512, 16), SharedClassifier: true);
        Write(header.ToBytes(), header.FileLength);
        AssertRefused("n_layers: expected at most 16384, found 2000000", At("holes"));
        AssertRefused("n_layers: expected at most 16384, found 2000000", "--impl", "simple", At("holes"));
        AssertRefused("n_layers: expected at most 16384, found 2000000", "inspect", At("holes"));
        Write([1], 60_000_004); // tokens of no bytes
        AssertRefused("vocabulary: expected the 512 tokens of the checkpoint, found 7500000", "-z", At("holes"));
        Write([1], 4_000_000_000);
        AssertRefused("length: expected at most 67108864 bytes, found 4000000000", "-z", At("holes"));

        void Write(byte[] start, long length)
        {
            using FileStream stream = File.Create(At("holes"));
            stream.Write(start);
            stream.SetLength(length);
        }

        void AssertRefused(string message, params string[] args)
        {
            BuiltProgram run = BuiltProgram.Run(small, args);
            Assert.Equal((2, ""), (run.ExitCode, run.Out));
            Assert.Equal($"llama2: {At("holes")}: {message}\n", run.Err);
        }
    }
}
