using System.CommandLine;

namespace Llama2.Cli.Commands;

/// <summary>Prints what makes a shell complete llama2's commands and options; the shell asks the program itself.</summary>
internal static class CompletionCommand
{
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["bash"] = """
            _llama2() {
                local IFS=$'\n'
                COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
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
        Argument<string> shell = new("shell") { Description = "bash, zsh or fish" };
        shell.AcceptOnlyFromAmong([.. Scripts.Keys]);
        command.Add(shell);
        command.SetAction(result =>
        {
            Output.WriteLine(Scripts[result.GetRequiredValue(shell)].ReplaceLineEndings("\n"));
            return Program.Success;
        });
    }
}
