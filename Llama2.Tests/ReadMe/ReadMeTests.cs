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
