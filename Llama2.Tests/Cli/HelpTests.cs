using System.CommandLine;
using System.Text.RegularExpressions;
using Llama2.Cli;

namespace Llama2.Tests.Cli;

/// <summary>--help of each command fits 80 columns, names all there is, and its examples are commands that exist.</summary>
public sealed partial class HelpTests
{
    public static TheoryData<string> Commands => [.. Program.CreateRootCommand().Subcommands.Select(command => command.Name).Prepend("")];

    private static Command Find(string name) => name == "" ? Program.CreateRootCommand()
        : Program.CreateRootCommand().Subcommands.Single(command => command.Name == name);

    [Theory]
    [MemberData(nameof(Commands))]
    public void Each_commands_help_fits_and_names_all(string name)
    {
        BuiltProgram program = BuiltProgram.Run([.. name == "" ? Array.Empty<string>() : [name], "--help"]);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Equal(HelpText.For(Find(name), 80), program.Out);
        Assert.All(program.Out.Split('\n'), line => Assert.True(line.Length <= 80, line));
        Assert.All(Find(name).Options.Where(option => !option.Hidden), option =>
            Assert.Matches($"(?m)^  (-., )?{option.Name}( |$)", program.Out));
        Assert.All(Find(name).Subcommands, command => Assert.Matches($"(?m)^  {command.Name} ", program.Out));
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Each_command_has_examples_that_parse(string name)
    {
        Assert.True(HelpText.Examples.TryGetValue(name, out string[]? examples), $"{name} has no examples");
        foreach (string example in examples)
        {
            string call = example[example.IndexOf("llama2", StringComparison.Ordinal)..];
            call = call.Split([" > ", " >> ", " < ", " | "], 2, StringSplitOptions.None)[0];
            string[] words = [.. Word().Matches(call).Select(word => word.Value.Trim('"'))];
            ParseResult result = Program.Parse(words[1..]);
            Assert.True(result.Errors.Count == 0, $"{example}: {string.Join("; ", result.Errors.Select(error => error.Message))}");
            Assert.True(name == "" || result.CommandResult.Command.Name == name, example);
            Assert.True(example.Length <= 78, example);
        }
    }

    [Theory]
    [InlineData("pull", "-h")]
    [InlineData("--help", "--no-such-option")]
    [InlineData("quantize", "-?")]
    public void Who_asks_for_help_gets_it_whatever_else_is_wrong(params string[] args)
    {
        BuiltProgram program = BuiltProgram.Run(args);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Contains("\nUsage: llama2", program.Out, StringComparison.Ordinal);
    }

    [Fact]
    public void It_tells_its_version()
    {
        BuiltProgram program = BuiltProgram.Run("--version");
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Matches(@"^\d+\.\d+\.\d+\S*\n$", program.Out);
    }

    [Theory]
    [InlineData("llama2 qu", "quantize")]
    [InlineData("llama2 pull stories1", "stories15M")]
    [InlineData("llama2 inspect --js", "--json")]
    [InlineData("llama2 completion ", "bash")]
    public void A_shell_gets_suggestions_from_the_program(string line, string expected)
    {
        BuiltProgram program = BuiltProgram.Run($"[suggest:{line.Length}]", line);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Contains(expected, program.Out.Split('\n'));
    }

    [Theory]
    [InlineData("bash", "llama2 qua", "quantize")]
    [InlineData("bash", "llama2 pull stories11", "stories110M")]
    public void The_bash_script_completes(string shell, string line, string expected)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        string script = $$"""
            llama2() { dotnet '{{BuiltProgram.FilePath}}' "$@"; }
            eval "$(llama2 completion {{shell}})"
            COMP_LINE='{{line}}' COMP_POINT={{line.Length}} COMP_WORDS=({{line}}) COMP_CWORD={{line.Split(' ').Length - 1}}
            _llama2
            echo "${COMPREPLY[@]}"
            """;
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("bash",
            ["-c", script])
        { RedirectStandardOutput = true })!;
        Assert.Equal(expected, process.StandardOutput.ReadToEnd().Trim());
        process.WaitForExit();
    }

    [Theory]
    [InlineData("bash")]
    [InlineData("zsh")]
    [InlineData("fish")]
    public void The_scripts_are_printed(string shell)
    {
        BuiltProgram program = BuiltProgram.Run("completion", shell);
        Assert.Equal((0, ""), (program.ExitCode, program.Err));
        Assert.Contains("[suggest:", program.Out, StringComparison.Ordinal);
    }

    [GeneratedRegex("\"[^\"]*\"|\\S+")]
    private static partial Regex Word();
}
