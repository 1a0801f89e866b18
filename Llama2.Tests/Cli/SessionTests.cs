using System.Buffers.Binary;
using System.Diagnostics;

namespace Llama2.Tests.Cli;

/// <summary>Sessions in files, through the built program.</summary>
public sealed class SessionTests : FolderTests
{
    private static string Text(params string[] args) => BuiltProgram.Text(args)[..^1];

    [Theory]
    [InlineData("simple")]
    [InlineData("fast")]
    public void A_session_that_goes_on_tells_the_story_of_one_that_never_stopped(string implementation)
    {
        string[] same = ["-s", "7", "-t", "0.8", "--impl", implementation];
        string first = Text([.. same, "-n", "40", "--save-session", At("s")]);
        string second = Text("--impl", implementation, "-n", "60", "--load-session", At("s"), "--save-session", At("t"));
        Assert.Equal(Text([.. same, "-n", "100", "--save-session", At("whole")]), first + second);
        Assert.Equal(File.ReadAllBytes(At("whole")), File.ReadAllBytes(At("t"))); // tokens, keys, values and the random state
    }

    [Fact]
    public void Persisting_goes_on_each_time()
    {
        string[] persist = ["--persist-session", At("s"), "-n", "15", "-t", "0.8"];
        string story = Text([.. persist, "-s", "7"]) + Text(persist) + Text(persist);
        Assert.Equal(Text("-s", "7", "-t", "0.8", "-n", "45"), story);
    }

    [Fact]
    public void A_prompt_is_loaded_as_far_as_it_is_the_same_and_its_text_stays_what_it_was()
    {
        Text("-s", "1", "-n", "30", "-i", "Ruby had a big red toy plane. It was", "--save-session", At("s"));
        string[] args = ["-s", "9", "-n", "60", "-i", "Ruby had a big red toy boat."];
        BuiltProgram loaded = BuiltProgram.Run([.. args, "--load-session", At("s")]);
        Assert.Equal(Text(args), loaded.Out[..^1]);
        Assert.Matches(@"session: [1-9]\d* of \d+ tokens from ", loaded.Err);
        Assert.Matches("prompt: [1-9] tokens", loaded.Err);
    }

    [Fact]
    public void Another_models_or_implementations_session_is_refused()
    {
        Text("-s", "1", "-n", "5", "--save-session", At("s"));
        AssertRefused("fingerprint", "--quantize", "q8_0");
        AssertRefused("implementation", "--impl", "simple");
    }

    [Fact]
    public void A_session_of_a_model_of_another_shape_is_refused()
    {
        Repository.SkipWithoutShared();
        Text("-s", "1", "-n", "5", "--save-session", At("s"));
        AssertRefused("dim", Repository.Shared("weights", "stories260K.bin"), "-z", Repository.Shared("weights", "tok512.bin"));
    }

    private void AssertRefused(string field, params string[] args) =>
        BuiltProgram.Run([.. args, "--load-session", At("s"), "--silent"]).AssertFails(2, $"llama2: {At("s")}: {field}: expected ");

    [Fact]
    public void A_folder_that_is_missing_is_2_before_the_work()
    {
        BuiltProgram run = BuiltProgram.Run("-n", "5", "--silent", "--save-session", At("none/s"));
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.Contains("none/s: cannot be written: there is no such folder", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--save-session", "saved session", "a GGUF file", "GGUF\u0003\0\0\0and more")]
    [InlineData("--save-session", "saved session", "a text, which begins \"Dear diary\"", "Dear diary\nToday")]
    [InlineData("--logits", "one of logits", "a saved session", "sS2l\u0001\0\0\0and more")]
    public void A_file_of_another_kind_is_not_written_over(string option, string expected, string kind, string contents)
    {
        string file = At("precious");
        File.WriteAllText(file, contents);
        foreach (string[] command in option == "--logits" ? (string[][])[["generate"]] : [["generate"], ["chat"]])
        {
            BuiltProgram run = BuiltProgram.Run([.. command, option, file, "-n", "3", "--silent"]);
            string a = option == "--logits" ? "" : "a ";
            Assert.Equal((1, "", $"llama2: {option} {file}: expected a new file or {a}{expected}, found {kind}\n"),
                (run.ExitCode, run.Out, run.Err));
        }
        Assert.Equal(contents, File.ReadAllText(file));
    }

    [Theory]
    [InlineData("FOLDER", "it is a folder")]
    [InlineData("FOLDER/none/x", "there is no such folder")]
    [InlineData("/dev/full", "No space left on device")]
    [InlineData("LONG", "its name is too long")]
    public void Logits_that_cannot_be_written_are_2_in_one_line(string file, string why)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /dev/full and Linux's messages");
        file = file.Replace("FOLDER", Folder, StringComparison.Ordinal)
            .Replace("LONG", At(new string('x', 300)), StringComparison.Ordinal);
        BuiltProgram run = BuiltProgram.Run("-n", "5", "-t", "0", "--silent", "--logits", file);
        Assert.Equal((2, $"llama2: {file}: cannot be written: {why}\n"), (run.ExitCode, run.Err));
    }

    [Fact]
    public void A_full_disk_is_2_and_leaves_what_was_there()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs ulimit");
        Text("-s", "1", "-n", "5", "--save-session", At("s"));
        byte[] before = File.ReadAllBytes(At("s"));
        BuiltProgram.Setup full = new() { Under = BuiltProgram.FullDisk(64) };
        BuiltProgram run = BuiltProgram.Run(full, "-s", "1", "-n", "200", "--ignore-eos", "--silent", "--save-session", At("s"));
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith($"llama2: {At("s")}: cannot be written: ", run.Err, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(At("s")));
        Assert.Single(Directory.GetFiles(Folder));
    }

    [Fact]
    public void Ctrl_C_saves_what_there_is()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sends SIGINT");
        string[] same = [EndlessModel.Write(Folder), "--ignore-eos"];
        BuiltProgram.Setup setup = new();
        using Process process = BuiltProgram.Start(setup, [.. same, "-s", "3", "--save-session", At("s")]);
        char[] beginning = new char[20];
        process.StandardOutput.ReadBlock(beginning);
        BuiltProgram.Interrupt(process);
        process.StandardOutput.ReadToEnd();
        Assert.Equal(130, BuiltProgram.ExitCodeOf(process, setup));
        Text([.. same, "-n", "20", "--load-session", At("s"), "--save-session", At("t")]);
        int generated = BinaryPrimitives.ReadInt32LittleEndian(File.ReadAllBytes(At("s")).AsSpan(84)) - 1; // all but BOS
        string whole = Text([.. same, "-s", "3", "-n", $"{generated + 20}", "--save-session", At("whole")]);
        Assert.StartsWith(new string(beginning), whole, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(At("whole")), File.ReadAllBytes(At("t")));
    }

    [Fact]
    public void A_full_context_does_not_go_on()
    {
        Text("-s", "1", "-n", "0", "--ignore-eos", "--save-session", At("s"));
        BuiltProgram run = BuiltProgram.Run("--load-session", At("s"), "--silent");
        Assert.Equal((1, "llama2: the context is full: this model holds 512 tokens\n"), (run.ExitCode, run.Err));
    }

    [Fact]
    public void Options_that_contradict_each_other_are_1()
    {
        BuiltProgram run = BuiltProgram.Run("--persist-session", At("s"), "--load-session", At("s"));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("--persist-session", run.Err, StringComparison.Ordinal);
        Assert.Equal(1, BuiltProgram.Run("-m", "chat", "--save-session", At("s")).ExitCode);
    }

    [Fact]
    public void A_persisted_session_grows_by_a_prompt()
    {
        string[] persist = ["--persist-session", At("s"), "-t", "0"];
        string first = BuiltProgram.Text([.. persist, "-n", "30", "-i", "Tom had"]).TrimEnd('\n');
        long length = new FileInfo(At("s")).Length;
        string second = BuiltProgram.Text([.. persist, "-n", "30", "-i", "Then Ruby"]).TrimEnd('\n');
        Assert.StartsWith(" Then Ruby", second, StringComparison.Ordinal);
        Assert.True(new FileInfo(At("s")).Length > length);
        string third = BuiltProgram.Text([.. persist, "-n", "10"]);
        Assert.Equal(71, BitConverter.ToInt32(File.ReadAllBytes(At("s")), 84));
        Assert.Equal(first + second + third, Decoded());

        string Decoded()
        {
            byte[] bytes = File.ReadAllBytes(At("s"));
            string ids = string.Join(' ', Enumerable.Range(0, 71).Select(i => BitConverter.ToInt32(bytes, 104 + 4 * i)));
            return BuiltProgram.Run(["detokenize", .. ids.Split(' ')]).Out;
        }
    }

    [Fact]
    public void A_story_does_not_overwrite_a_conversation()
    {
        BuiltProgram.Setup hello = new() { Input = "Hello\n" };
        BuiltProgram chat = BuiltProgram.Run(hello, "chat", "--template", "plain", "--save-session", At("c"));
        Assert.Equal(0, chat.ExitCode);
        byte[] before = File.ReadAllBytes(At("c"));
        Assert.Contains("conversation", BuiltProgram.Error(1, "--persist-session", At("c"), "-i", "More"), StringComparison.Ordinal);
        Assert.Contains("conversation", BuiltProgram.Error(1, "--persist-session", At("c")), StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(At("c")));
    }
}
