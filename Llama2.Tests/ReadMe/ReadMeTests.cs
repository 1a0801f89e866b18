using System.Globalization;
using System.Text.RegularExpressions;
using Llama2.Cli;
using Llama2.Tests.Cli;

namespace Llama2.Tests.ReadMe;

/// <summary>The README says only what holds: its commands are run and print what it shows.</summary>
public sealed partial class ReadMeTests
{
    private const string RunCommand = "dotnet run -c Release --project Llama2.Cli";

    internal static readonly string ReadMe = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");

    [Fact]
    public void Each_run_it_shows_prints_what_it_shows()
    {
        Match[] runs = [.. ShownRun().Matches(ReadMe).Cast<Match>()];
        Assert.NotEmpty(runs);
        foreach (Match run in runs)
        {
            string[] args = [.. Word().Matches(run.Groups["args"].Value).Select(word => word.Value.Trim('\'', '"'))];
            BuiltProgram program = BuiltProgram.Run(args);
            Assert.Equal(run.Groups["output"].Value, program.Out);
            Assert.Equal(0, program.ExitCode);
        }
    }

    [Fact]
    public void It_gives_the_two_commands()
    {
        Assert.Contains($"\n{RunCommand}\n", ReadMe, StringComparison.Ordinal);
        Assert.Contains("\ndotnet test -c Release\n", ReadMe, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_option_of_its_table_is_an_option_of_the_program()
    {
        string[] known = [.. Program.CreateRootCommand().Options.SelectMany(option => option.Aliases.Append(option.Name))];
        string[] options =
        [
            .. from row in TableRow().Matches(ReadMe)
               from name in OptionName().Matches(row.Value)
               select name.Value,
        ];
        Assert.NotEmpty(options);
        Assert.All(options, option => Assert.Contains(option, known));
    }

    [Fact]
    public void It_states_the_hashes_of_verify()
    {
        BuiltProgram program = BuiltProgram.Run("verify");
        string[] hashes = [.. Hash().Matches(ReadMe).Select(hash => hash.Value)];
        Assert.Equal(0, program.ExitCode);
        Assert.Equal(2, hashes.Length);
        Assert.All(hashes, hash => Assert.Contains(hash, program.Out, StringComparison.Ordinal));
    }

    [Fact]
    public void Its_rule_by_which_a_tokenizer_is_found_is_the_programs()
    {
        string rule = Assert.Single(ReadMe.Split('\n'), line => line.StartsWith("| `-z`", StringComparison.Ordinal));
        string folder = Directory.CreateTempSubdirectory("llama2-").FullName;
        try
        {
            BuiltProgram.Setup here = new() { WorkingDirectory = folder, Environment = { [ModelFolder.Variable] = "mine" } };
            (string Words, string File)[] places =
            [
                ("`NAME.tokenizer.bin` beside", "beside/m.tokenizer.bin"),
                ("`tokenizer.bin` beside the checkpoint", "beside/tokenizer.bin"),
                ("in the working directory", "tokenizer.bin"),
                ("in `weights/`", "weights/tokenizer.bin"),
                ("in your folder", "mine/tokenizer.bin"),
            ];
            foreach ((_, string file) in places)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(folder, file))!);
                File.WriteAllText(Path.Combine(folder, file), "no tokenizer");
            }
            File.Copy(Repository.Weights("tales659K.bin"), Path.Combine(folder, "beside", "m.bin"));
            foreach ((_, string file) in places) // each is found once those before are gone
            {
                Assert.StartsWith($"llama2: {file}: ", BuiltProgram.Run(here, "beside/m.bin").Err, StringComparison.Ordinal);
                File.Delete(Path.Combine(folder, file));
            }
            int[] said = [.. places.Select(place => rule.IndexOf(place.Words, StringComparison.Ordinal))];
            Assert.True(said[0] >= 0 && said.SequenceEqual(said.Order()), rule);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void It_names_the_folder_that_pull_writes_to()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "other systems have other folders for a user's data");
        foreach ((string variable, string? value, string folder) in ((string, string?, string)[])
            [("LLAMA2_MODELS", "/a", "$LLAMA2_MODELS"), ("XDG_DATA_HOME", "/b", "$XDG_DATA_HOME/llama2/models"),
                ("HOME", "/c", "~/.local/share/llama2/models")])
        {
            Assert.Contains($"`{folder}`", ReadMe, StringComparison.Ordinal);
            BuiltProgram.Setup setup = new() { Environment = { ["LLAMA2_MODELS"] = null, ["XDG_DATA_HOME"] = null } };
            setup.Environment[variable] = value;
            string expected = folder.Replace("$" + variable, value).Replace("~", value);
            Assert.Equal($"your folder: {expected}\n", BuiltProgram.Run(setup, "list").Err);
        }
    }

    [Fact]
    public void It_says_where_the_files_are_without_which_tests_are_skipped()
    {
        Assert.Contains("`../shared`", ReadMe, StringComparison.Ordinal);
        Assert.Contains("../shared", Repository.NoShared, StringComparison.Ordinal);
    }

    [Fact]
    public void Its_greedy_and_sampled_speeds_are_what_it_says_of_llama2_c_s()
    {
        Match[] speeds = [.. SpeedBesideC().Matches(ReadMe).Cast<Match>()];
        Assert.Equal(2, speeds.Length);
        Assert.All(speeds, speed => Assert.Equal(Value(speed, "times"), Math.Round(Value(speed, "ours") / Value(speed, "c"), 2)));

        static double Value(Match speed, string group) => double.Parse(speed.Groups[group].Value, CultureInfo.InvariantCulture);
    }

    [Fact]
    public void It_states_the_exit_codes()
    {
        IEnumerable<string> codes = typeof(ExitCode).GetFields().Select(field => $"{field.GetRawConstantValue()}");
        IEnumerable<string> stated = Number().Matches(ExitCodes().Match(ReadMe).Value).Select(number => number.Value);
        Assert.Equal(codes, stated);
    }

    [Fact]
    public void Its_layout_lists_each_room_and_names_what_is_in_it()
    {
        Dictionary<string, string> rooms =
            LayoutRow().Matches(ReadMe).ToDictionary(row => row.Groups["room"].Value, row => row.Groups["what"].Value);
        foreach (string project in (string[])["Llama2.Simple", "Llama2.Fast", "Llama2.Cli"])
        {
            DirectoryInfo[] folders = new DirectoryInfo(Path.Combine(Repository.Root, project)).GetDirectories();
            Assert.All(folders.Where(folder => folder.Name is not ("bin" or "obj")),
                folder => Assert.Contains($"{project}/{folder.Name}/", rooms.Keys));
        }
        foreach ((string room, string what) in rooms)
        {
            Assert.All(RoomContent().Matches(what).Select(name => Path.Combine(Repository.Root, room, name.Value)),
                path => Assert.True(File.Exists(path + ".cs") || Directory.Exists(path), path));
        }
    }

    [Fact]
    public void Each_folder_and_file_it_names_exists()
    {
        string[] names = [.. FolderName().Matches(ReadMe).Select(name => name.Groups[1].Value)];
        Assert.NotEmpty(names);
        Assert.All(names, name => Assert.True(Path.Exists(Path.Combine(Repository.Root, name)), name));
    }

    [GeneratedRegex(@"^\$ " + RunCommand + @" -- (?<args>.*)\n(?<output>(?:(?!```|\$ ).*\n)+)", RegexOptions.Multiline)]
    internal static partial Regex ShownRun();

    [GeneratedRegex(@"(?<ours>[0-9.]+) tok/s \((?<times>[0-9.]+) times llama2\.c's (?<c>[0-9.]+)\)")]
    private static partial Regex SpeedBesideC();

    [GeneratedRegex("""'[^']*'|"[^"]*"|\S+""")]
    private static partial Regex Word();

    [GeneratedRegex("^\\| `-.*$", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    [GeneratedRegex("(?<=`)--?[a-z][a-z-]*")]
    private static partial Regex OptionName();

    [GeneratedRegex("(?<=`)[0-9a-f]{16}(?=`)")]
    private static partial Regex Hash();

    [GeneratedRegex(@"^Exit codes \([^)]*\): (.+\n)+", RegexOptions.Multiline)]
    private static partial Regex ExitCodes();

    [GeneratedRegex(@"^\| `(?<room>[^`]+/)` \| (?<what>.*) \|$", RegexOptions.Multiline)]
    private static partial Regex LayoutRow();

    [GeneratedRegex("(?<=`)[A-Z][A-Za-z0-9]*(?=/?`)")]
    private static partial Regex RoomContent();

    [GeneratedRegex(@"\b[0-9]+\b")]
    private static partial Regex Number();

    [GeneratedRegex("`((?:Llama2\\.[A-Za-z]+|fuzz|weights)/[A-Za-z0-9_./]*)`")]
    private static partial Regex FolderName();
}
