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

    public static IEnumerable<Seed> Seeds() =>
    [
        Make("seed-run-c", "model.bin", "-t", "0.8", "-p", "0.9", "-s", "7", "-n", "100",
            "-i", "Once", "-z", "tok.bin", "-m", "generate", "-y", "x"),
        Make("seed-tokenize", "tokenize", "--pieces", "-z", "tok.bin", "a text"),
        Make("seed-help", "--help"),
    ];

    /// <summary>Every name that the program knows.</summary>
    public static byte[][] Words() => [.. Names(Cli.Program.CreateRootCommand()).Distinct().Select(Encoding.UTF8.GetBytes), [0]];

    private static IEnumerable<string> Names(Command command) =>
        command.Options.SelectMany(option => option.Aliases.Append(option.Name))
            .Concat(command.Subcommands.SelectMany(sub => Names(sub).Append(sub.Name)));

    private static Seed Make(string name, params string[] args) => new(name, Encoding.UTF8.GetBytes(string.Join('\0', args)));
}
