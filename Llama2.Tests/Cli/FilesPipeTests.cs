using System.Diagnostics;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Cli;

/// <summary>Files that cannot be mapped are read, and small ones do not change under a program that runs.</summary>
public sealed class FilesPipeTests : FolderTests
{
    private static readonly string Model = Repository.Weights("tales659K.bin"), Tokenizer = Repository.Weights("tok512-tales.bin");

    [Theory]
    [InlineData("-n 20 -t 0 -z <(cat TOKENIZER)")]
    [InlineData("<(cat MODEL) -n 20 -t 0 -z TOKENIZER")]
    [InlineData("<(cat MODEL) -n 20 -t 0 -z <(cat TOKENIZER)")]
    [InlineData("-n 20 -t 0 --load-session <(cat SESSION) -i ''")]
    public void What_comes_through_a_pipe_is_read(string args)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        string session = At("session");
        BuiltProgram plain = BuiltProgram.Run("-n", "20", "-t", "0", "--save-session", session);
        string command = args.Replace("MODEL", Model, StringComparison.Ordinal).Replace("TOKENIZER", Tokenizer, StringComparison.Ordinal)
            .Replace("SESSION", session, StringComparison.Ordinal);
        BuiltProgram piped = BuiltProgram.Run(
            new BuiltProgram.Setup { Under = ["bash", "-c", $"\"$@\" {command}", "bash"], WorkingDirectory = Folder }, []);
        Assert.Equal((0, plain.Out), (piped.ExitCode, piped.Out));
    }

    [Theory]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    public async Task Waiting_for_a_pipe_can_be_ended(string signal, int exitCode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        string fifo = At("fifo");
        await Process.Start("mkfifo", [fifo]).WaitForExitAsync(TestContext.Current.CancellationToken);
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, Model, "-z", fifo);
        await Task.Delay(1500, TestContext.Current.CancellationToken); // until it waits, or a little before; both must end it
        await Process.Start("kill", [$"-{signal}", $"{process.Id}"]).WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(exitCode, BuiltProgram.ExitCodeOf(process, setup));
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("overwritten")]
    [InlineData("emptied")]
    public void A_small_model_that_changes_in_place_does_not_matter_to_a_chat(string how)
    {
        string model = At("model.bin");
        File.Copy(Model, model);
        BuiltProgram.Setup setup = new();
        string[] args = ["chat", model, "-z", Tokenizer, "-t", "0", "-n", "30"];
        using Process process = BuiltProgram.Start(setup, args);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        process.StandardInput.WriteLine("Hello");
        process.StandardInput.Flush();
        process.StandardOutput.Read(); // now it runs
        using (FileStream stream = new(model, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            if (how == "overwritten")
                stream.Write(Enumerable.Repeat((byte)0xff, (int)stream.Length).ToArray());
            else
                stream.SetLength(how == "cut" ? 4096 : 0);
        }
        process.StandardInput.WriteLine("And then?");
        process.StandardInput.Close();
        string changed = process.StandardOutput.ReadToEnd();
        Assert.Equal(0, BuiltProgram.ExitCodeOf(process, setup));
        BuiltProgram unchanged = BuiltProgram.Run(new BuiltProgram.Setup { Input = "Hello\nAnd then?\n" },
            ["chat", Model, .. args[2..]]);
        Assert.EndsWith(changed, unchanged.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("checkpoint", "chat", "--template", "plain")]
    [InlineData("checkpoint", "-m", "chat", "-y", "")]
    [InlineData("gguf", "chat", "--template", "plain")]
    [InlineData("gguf", "chat", "--template", "plain", "--impl", "simple")]
    public void A_larger_model_that_is_cut_while_a_chat_waits_is_one_line(string format, params string[] args)
    {
        string model = At("model");
        Config config = new(256, 512, 2, 4, 4, 512, 256);
        if (format == "gguf")
            File.WriteAllBytes(model, SmallGguf.Create(config, values => values.Remove("tokenizer.ggml.tokens")));
        else
            using (FileStream stream = File.Create(model))
                Shape.Parse("256,512,2,4,4,512,256").Write(stream, CancellationToken.None);
        long length = new FileInfo(model).Length;
        Assert.InRange(length, (3 << 20) + 1, 32 << 20); // it is mapped
        BuiltProgram.Setup setup = new();
        // EOS ends an answer at once
        using Process process = BuiltProgram.Start(setup,
            [.. args, model, "-z", Tokenizer, "-t", "0", "-n", "100", "--logit-bias", "2=1000", "--silent"]);
        process.StandardInput.WriteLine("Hello");
        process.StandardInput.Flush();
        Assert.NotNull(process.StandardOutput.ReadLine()); // the answer
        using (FileStream stream = new(model, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            stream.SetLength(5000);
        process.StandardInput.WriteLine("And then?");
        process.StandardInput.Close();
        Assert.Equal(2, BuiltProgram.ExitCodeOf(process, setup));
        Assert.Equal($"llama2: {model}: length: expected {length} bytes, as when it was opened, found 5000: it was cut meanwhile\n",
            process.StandardError.ReadToEnd());
    }
}
