using System.Text.RegularExpressions;
using Llama2.Cli;
using Llama2.Tests.Cli;

namespace Llama2.Tests.ReadMe;

/// <summary>The README says only what holds: its commands are run and print what it shows.</summary>
public sealed partial class ReadMeTests
{
    private const string RunCommand = "dotnet run -c Release --project Llama2.Cli";

    private static readonly string ReadMe = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");

    [Fact]
    public void Each_run_it_shows_prints_what_it_shows()
    {
        Match[] runs = [.. ShownRun().Matches(ReadMe).Cast<Match>()];
        Assert.NotEmpty(runs);
        foreach (Match run in runs)
        {
            string[] args = [.. Word().Matches(run.Groups["args"].Value).Cast<Match>().Select(word => word.Value.Trim('\'', '"'))];
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
        string[] options = [.. TableRow().Matches(ReadMe).Cast<Match>().SelectMany(row => OptionName().Matches(row.Value).Cast<Match>()).Select(name => name.Value)];
        Assert.NotEmpty(options);
        Assert.All(options, option => Assert.Contains(option, known));
    }

    [Fact]
    public void It_states_the_hashes_of_verify()
    {
        BuiltProgram program = BuiltProgram.Run("verify");
        string[] hashes = [.. Hash().Matches(ReadMe).Cast<Match>().Select(hash => hash.Value)];
        Assert.Equal(0, program.ExitCode);
        Assert.Equal(2, hashes.Length);
        Assert.All(hashes, hash => Assert.Contains(hash, program.Out, StringComparison.Ordinal));
    }

    [Fact]
    public void Each_folder_and_file_it_names_exists()
    {
        string[] names = [.. FolderName().Matches(ReadMe).Cast<Match>().Select(name => name.Groups[1].Value)];
        Assert.NotEmpty(names);
        Assert.All(names, name => Assert.True(Path.Exists(Path.Combine(Repository.Root, name)), name));
    }

    [GeneratedRegex(@"^\$ dotnet run -c Release --project Llama2.Cli -- (?<args>.*)\n(?<output>(?:(?!```|\$ ).*\n)+)", RegexOptions.Multiline)]
    private static partial Regex ShownRun();

    [GeneratedRegex("""'[^']*'|"[^"]*"|\S+""")]
    private static partial Regex Word();

    [GeneratedRegex("^\\| `-.*$", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    [GeneratedRegex("(?<=`)--?[a-z][a-z-]*")]
    private static partial Regex OptionName();

    [GeneratedRegex("(?<=`)[0-9a-f]{16}(?=`)")]
    private static partial Regex Hash();

    [GeneratedRegex("`((?:Llama2\\.[A-Za-z]+|fuzz|weights)/[A-Za-z0-9_./]*)`")]
    private static partial Regex FolderName();
}
