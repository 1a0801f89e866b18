using System.CommandLine;
using System.CommandLine.Parsing;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any command line, its arguments separated by NUL, is either understood, and then each of its values can be read, or
/// refused with messages.
/// </summary>
internal static class Options
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        string[] args = Encoding.UTF8.GetString(data).Split('\0');
        ParseResult result = Cli.Program.Parse(args);
        if (result.Errors.Count > 0)
        {
            if (result.Errors.Any(error => string.IsNullOrWhiteSpace(error.Message)))
                throw new BrokenPromiseException("an error without a message");
            return;
        }
        if (result.Action is null)
            throw new BrokenPromiseException("understood, but there is nothing to do");
        if (result.Action != result.CommandResult.Command.Action)
            return; // help, whatever else there is
        for (CommandResult? command = result.CommandResult; command is not null; command = command.Parent as CommandResult)
        {
            foreach (Option option in command.Command.Options)
                _ = result.GetResult(option)?.GetValueOrDefault<object>();
            foreach (Argument argument in command.Command.Arguments)
                _ = result.GetResult(argument)?.GetValueOrDefault<object>();
        }
    }
}
