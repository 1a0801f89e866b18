using System.CommandLine;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Commands;

/// <summary>Prints a script with which a shell completes llama2's commands and options, by asking the program.</summary>
internal static class CompletionCommand
{
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["bash"] = """
            _llama2() {
                local IFS=$'\n'
                local words="$("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)"
                COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
            }
            complete -o default -F _llama2 llama2
            """,
        ["zsh"] = """
            _llama2() {
                local -a suggestions
                suggestions=("${(@f)$("${words[1]}" "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
                compadd -a suggestions
                _files
            }
            compdef _llama2 llama2
            """,
        ["fish"] = """
            complete -c llama2 -a '(llama2 "[suggest:"(commandline -cp | string length)"]" (commandline -cp) 2>/dev/null)'
            """,
    };

    public static void AddTo(Command command)
    {
        Argument<string> shell = command.AddArgument<string>("shell", "bash, zsh or fish");
        shell.AcceptOnlyFrom([.. Scripts.Keys]);
        command.SetAction(result =>
        {
            Output.WriteLine(Scripts[result.GetRequiredValue(shell)].ReplaceLineEndings("\n"));
            return ExitCode.Success;
        });
    }
}
