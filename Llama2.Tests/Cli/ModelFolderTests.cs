using System.Text.Json;

namespace Llama2.Tests.Cli;

/// <summary>The user's own folder of models: what is found there by its name, list and rm.</summary>
public sealed class ModelFolderTests : FolderTests
{
    private string Mine(string file = "") => Path.Combine(Folder, "mine", file);

    private string Weights(string file = "") => Path.Combine(Folder, "weights", file);

    public ModelFolderTests()
    {
        Directory.CreateDirectory(At("mine"));
        Directory.CreateDirectory(At("weights"));
    }

    [Fact]
    public void A_name_is_a_path_then_a_model_in_weights_then_one_of_the_users_then_the_one_inside_the_program()
    {
        Assert.StartsWith("tales659K (inside the program): ", Described("tales659K"), StringComparison.Ordinal);
        File.Copy(Repository.Golden("tales659K_q80.bin"), Mine("tales659K.bin"));
        Assert.Contains(", llama2.c v2 q8_0", Described("tales659K"), StringComparison.Ordinal);
        File.Copy(Repository.Golden("tales659K_v1.bin"), Weights("tales659K.bin"));
        Assert.Contains(", llama2.c v1 f32", Described("tales659K"), StringComparison.Ordinal);
        File.Copy(Repository.Weights("tales659K.bin"), At("tales659K"));
        string path = Described("tales659K", "-z", Repository.Weights("tok512-tales.bin"));
        Assert.Contains(", llama2.c v0 f32", path, StringComparison.Ordinal);
        Assert.StartsWith("tales659K (inside the program): ", Described(), StringComparison.Ordinal); // without a name, always
    }

    [Theory]
    [InlineData("model-1.5-Q8_0.bin", "model-1.5-Q8_0")] // has no ending, though there is a dot
    [InlineData("model-1.5-Q8_0.bin", "model-1.5-Q8_0.bin")]
    [InlineData("vocab", "vocab")]
    public void A_users_model_finds_the_tokenizer_beside_it_from_anywhere(string file, string name)
    {
        File.Copy(Repository.Weights("tales659K.bin"), Mine(file));
        Assert.Contains(Mine("tokenizer.bin"), Run(2, name).Err, StringComparison.Ordinal);
        File.Copy(Repository.Weights("tok512-tales.bin"), Mine("tokenizer.bin"));
        Assert.Equal(Run(0, "-t", "0", "-n", "20").Out, Run(0, name, "-t", "0", "-n", "20").Out);
    }

    [Fact]
    public void A_tokenizer_of_the_users_serves_a_model_elsewhere()
    {
        string model = Path.Combine(Directory.CreateDirectory(At("other")).FullName, "model.bin");
        File.Copy(Repository.Weights("tales659K.bin"), model);
        File.Copy(Repository.Weights("tok512-tales.bin"), Mine("tokenizer.bin"));
        Assert.Equal(Run(0, "-t", "0", "-n", "20").Out, Run(0, model, "-t", "0", "-n", "20").Out);
    }

    [Fact]
    public void List_shows_what_has_a_name_and_where_it_is()
    {
        File.Copy(Repository.Golden("tales659K_q80.bin"), Mine("mine.bin"));
        File.Copy(Repository.Weights("tok512-tales.bin"), Mine("tokenizer.bin"));
        File.WriteAllText(Mine("page.bin"), "<html>");
        File.WriteAllText(Mine("README.md"), "no model");
        File.WriteAllBytes(Mine("big.gguf.part"), new byte[100]);
        File.Copy(Repository.Weights("tales659K.bin"), Weights("w.bin"));
        BuiltProgram run = Run(0, "list");
        Assert.Equal(
        [
            "name bytes type where dim layers vocabulary context",
            "w 2,667,420 llama2.c v0 f32 weights 96 6 512 512",
            $"big.gguf.part 100 unfinished download {Mine()} - - - -",
            $"mine {new FileInfo(Mine("mine.bin")).Length:N0} llama2.c v2 q8_0 in groups of 32 {Mine()} 96 6 512 512",
            $"page 6 no model {Mine()} - - - -",
            $"tokenizer 6,294 tokenizer {Mine()} - - 512 -",
            "tales659K 2,667,420 llama2.c v0 f32 the program 96 6 512 512",
        ], run.Out.TrimEnd().Split('\n').Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
        Assert.Equal($"your folder: {Mine()}\n", run.Err);

        JsonElement[] rows = [.. JsonDocument.Parse(Run(0, "list", "--json").Out).RootElement.EnumerateArray()];
        Assert.Equal(6, rows.Length);
        Assert.Equal((Mine("mine.bin"), 96), (rows[2].GetProperty("file").GetString(), rows[2].GetProperty("dim").GetInt32()));
    }

    [Fact]
    public void List_does_not_wait_for_a_pipe_that_looks_like_a_model()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo");
        System.Diagnostics.Process.Start("mkfifo", [Mine("pipe.bin")]).WaitForExit();
        Assert.DoesNotContain("pipe", Run(0, "list").Out, StringComparison.Ordinal);
    }

    [Fact]
    public void List_and_rm_bear_what_leads_nowhere()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        File.Copy(Repository.Weights("tales659K.bin"), Mine("m.bin"));
        File.CreateSymbolicLink(Mine("loop.bin"), Mine("pool.bin"));
        File.CreateSymbolicLink(Mine("pool.bin"), Mine("loop.bin"));
        File.CreateSymbolicLink(Mine("self.gguf"), Mine("self.gguf"));
        File.CreateSymbolicLink(Mine("nowhere.bin"), Mine("no/such"));
        Directory.CreateSymbolicLink(Mine("up.bin"), "..");
        string[] names = [.. Run(0, "list").Out.TrimEnd().Split('\n').Skip(1).Select(row => row.Split(' ')[0])];
        Assert.Equal(["loop", "m", "nowhere", "pool", "self", "tales659K"], names);
        Assert.Equal(2, Run(2, "loop", "-n", "5").ExitCode);
        Run(0, "rm", "pool", "self", "nowhere", "m");
        Assert.True(new FileInfo(Mine("loop.bin")).LinkTarget is not null);
    }

    [Fact]
    public void Rm_takes_a_tokenizer_with_the_last_model_that_finds_it()
    {
        foreach (string model in (string[])["a.bin", "b.bin", "tales659K.bin"])
            File.Copy(Repository.Weights("tales659K.bin"), Mine(model));
        foreach (string tokenizer in (string[])["tokenizer.bin", "a.tokenizer.bin", "tok512-tales.bin"])
            File.Copy(Repository.Weights("tok512-tales.bin"), Mine(tokenizer));
        Assert.Equal($"{Mine("a.bin")}: removed\n{Mine("a.tokenizer.bin")}: removed\n", Run(0, "rm", "a").Err);
        Assert.Equal(["b.bin", "tales659K.bin", "tok512-tales.bin", "tokenizer.bin"], Left());
        Run(0, "rm", "b.bin");
        Assert.Equal(["tales659K.bin", "tok512-tales.bin"], Left());
        Run(0, "rm", "tok512-tales");
        Assert.Equal(["tales659K.bin"], Left());
        Run(0, "rm", "tales659K");
        Assert.Empty(Left());
    }

    [Fact]
    public void Rm_of_a_model_in_GGUF_leaves_tokenizers_and_takes_all_parts()
    {
        foreach (string file in (string[])["tokenizer.bin", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m-00001-of-00003.gguf"])
            File.Copy(Repository.Weights("tok512-tales.bin"), Mine(file));
        Run(0, "rm", "m-00001-of-00002");
        Assert.Equal(["m-00001-of-00003.gguf", "tokenizer.bin"], Left());
    }

    [Fact]
    public void Rm_removes_a_link_and_not_what_it_leads_to()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        File.Copy(Repository.Weights("tales659K.bin"), Weights("w.bin"));
        Directory.CreateDirectory(Path.Combine(Folder, "other", "inner"));
        File.CreateSymbolicLink(Mine("file.bin"), Weights("w.bin"));
        File.CreateSymbolicLink(Mine("folder.bin"), At("other"));
        File.CreateSymbolicLink(Mine("nowhere.bin"), Mine("no"));
        Run(0, "rm", "file", "folder", "nowhere");
        Assert.Empty(Left());
        Assert.True(File.Exists(Weights("w.bin")));
        Assert.True(Directory.Exists(Path.Combine(Folder, "other", "inner")));
    }

    [Theory]
    [InlineData("../weights/w.bin", 1, "rm: ../weights/w.bin: expected a name; only what is in MINE is removed")]
    [InlineData("weights/w.bin", 1, "rm: weights/w.bin: expected a name; only what is in MINE is removed")]
    [InlineData("..", 1, "rm: ..: expected a name; only what is in MINE is removed")]
    [InlineData("w", 2, "w: model: expected one in MINE, found weights/w.bin, which stays")]
    [InlineData("tales659K", 2, "tales659K: model: expected one in MINE, found tales659K (inside the program), which stays")]
    [InlineData("mx", 2, "mx: model: expected one in MINE, found nothing there; did you mean m?")]
    [InlineData("rest.bin.par", 2, "rest.bin.par: model: expected one in MINE, found nothing there; did you mean rest.bin.part?")]
    [InlineData("nothing", 2, "nothing: model: expected one in MINE, found nothing there")]
    [InlineData("stories15M", 2, "stories15M: model: expected one in MINE, found nothing there")]
    [InlineData("folder", 2, "folder: model: expected one in MINE, found nothing there")]
    [InlineData("", 1, "name: expected a name, found an empty one (llama2 --help lists the options)")]
    public void Rm_refuses_what_is_not_in_the_folder_and_then_removes_nothing(string name, int exitCode, string message)
    {
        File.Copy(Repository.Weights("tales659K.bin"), Mine("m.bin"));
        File.Copy(Repository.Weights("tales659K.bin"), Weights("w.bin"));
        File.WriteAllText(Mine("rest.bin.part"), "");
        Directory.CreateDirectory(Mine("folder.bin"));
        Assert.Equal($"llama2: {message.Replace("MINE", Mine(), StringComparison.Ordinal)}\n", Run(exitCode, "rm", "m", name).Err);
        Assert.True(File.Exists(Weights("w.bin")) && Directory.Exists(Mine("folder.bin")));
        Assert.Equal(["m.bin", "rest.bin.part"], Left());
    }

    [Theory]
    [InlineData("XDG_DATA_HOME", "llama2/models")]
    [InlineData("HOME", ".local/share/llama2/models")]
    public void Without_a_name_of_its_own_the_folder_is_the_systems(string variable, string folder)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "other systems have other folders for a user's data");
        byte[] model = File.ReadAllBytes(Repository.Weights("tales659K.bin"));
        using FaultyServer server = new(_ => new FaultyServer.Reply(model));
        BuiltProgram.Setup setup = new() { Environment = { [ModelFolder.Variable] = null, ["XDG_DATA_HOME"] = null } };
        setup.Environment[variable] = Folder;
        BuiltProgram run = BuiltProgram.Run(setup, "pull", server.Address + "/m.bin");
        string path = Path.Combine(Folder, folder, "m.bin");
        Assert.Equal((0, $"{path}: {model.Length} bytes, no checksum is known\n"), (run.ExitCode, run.Err));
        Assert.Equal(model, File.ReadAllBytes(path));
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_one_line_with_what_to_do()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /proc");
        BuiltProgram.Setup setup = new() { Environment = { [ModelFolder.Variable] = "/proc/no" } };
        BuiltProgram run = BuiltProgram.Run(setup, "pull", "tokenizer");
        Assert.Equal(2, run.ExitCode);
        Assert.Matches("^llama2: /proc/no: cannot be written: [^\n]*; --to FOLDER or LLAMA2_MODELS names another folder\n$", run.Err);
    }

    [Theory]
    [InlineData("lits", "did you mean list?")]
    [InlineData("my-storie", "did you mean my-stories?")]
    public void A_guess_knows_the_users_models(string word, string guess)
    {
        File.Copy(Repository.Weights("tales659K.bin"), Mine("my-stories.bin"));
        Assert.EndsWith(guess + "\n", Run(1, word).Err, StringComparison.Ordinal);
    }

    private string Described(params string[] args) => Run(0, [.. args, "-t", "0", "-n", "2"]).Err;

    private IEnumerable<string?> Left() => Directory.GetFiles(Mine()).Select(Path.GetFileName).Order(StringComparer.Ordinal);

    private BuiltProgram Run(int exitCode, params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run(
            new BuiltProgram.Setup { WorkingDirectory = Folder, Environment = { [ModelFolder.Variable] = Mine() } }, args);
        Assert.True(run.ExitCode == exitCode, run.Err);
        return run;
    }
}
