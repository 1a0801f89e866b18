using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using Llama2.Cli.Commands;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli;

/// <summary>
/// The program: the commands, and the only place where errors become exit codes. 0 is success, 1 bad usage, 2 a bad or
/// unreadable file, 3 a comparison that failed, 130 Ctrl-C.
/// </summary>
internal static class Program
{
    internal const int Success = 0, BadUsage = 1, BadFile = 2, Differs = 3, Interrupted = 130;

    private static int Main(string[] args)
    {
        try
        {
            return Run(args);
        }
        catch (OperationCanceledException)
        {
            return Interrupted;
        }
        catch (UsageException e)
        {
            return Fail(e.Message, BadUsage);
        }
        catch (ArgumentException e) when (e.ParamName == "kernel") // of LLAMA2_KERNEL
        {
            return Fail(e.Message.Replace(" (Parameter 'kernel')", "", StringComparison.Ordinal), BadUsage);
        }
        catch (ContextFullException e)
        {
            return Fail(e.Message, BadUsage);
        }
        catch (Exception e) when (e is ModelFileException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            return Fail(e.Message, BadFile);
        }
    }

    private static readonly (string Name, Func<Command> Create)[] Commands =
    [
        ("generate", GenerateCommand.Create),
        ("chat", ChatCommand.Create),
        ("tokenize", TokenizeCommand.Create),
        ("detokenize", DetokenizeCommand.Create),
        ("pull", PullCommand.Create),
        ("bench", BenchCommand.Create),
        ("quantize", QuantizeCommand.Create),
        ("verify", VerifyCommand.Create),
        ("inspect", InspectCommand.Create),
        ("completion", CompletionCommand.Create),
    ];

    /// <summary>The program's commands and options.</summary>
    /// <param name="args">What will be parsed: only the commands that it can mean are made, since the others would cost a third of the time to start.</param>
    internal static RootCommand CreateRootCommand(IReadOnlyList<string>? args = null)
    {
        RootCommand root = new("Runs Llama 2 models of llama2.c's formats. Without a command it generates text, as llama2.c's run does");
        bool all = args is null || args.Any(arg => arg is "--help" or "-h" or "-?" or "/h" or "/?" || arg.StartsWith('['));
        foreach ((string name, Func<Command> create) in Commands)
        {
            if (all || args!.Contains(name))
                root.Add(create());
        }
        foreach (Command command in root.Subcommands)
            command.Validators.Add(RefuseWhatIsBefore);
        GenerateCommand.AddTo(root);
        root.Options.OfType<HelpOption>().Single().Action = new HelpText();
        return root;
    }

    /// <summary>An option or a checkpoint in front of a command is one of the program without a command, and would mean nothing.</summary>
    private static void RefuseWhatIsBefore(CommandResult command)
    {
        foreach (SymbolResult before in ((CommandResult)command.Parent!).Children)
        {
            if (before is OptionResult { Implicit: false, Option.Action: null } option)
                command.AddError($"{option.IdentifierToken} belongs behind {command.Command.Name}");
            else if (before is ArgumentResult { Tokens: [var token, ..] })
                command.AddError($"{token.Value} belongs behind {command.Command.Name}");
        }
    }

    /// <summary>Parses as the program does: no bundling of one-letter options, no response files, a prompt may begin with @.</summary>
    internal static ParseResult Parse(IReadOnlyList<string> args) =>
        CreateRootCommand(args).Parse(args, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });

    private static int Run(string[] args)
    {
        ParseResult result = Parse(args);
        if (result.Errors.Count > 0)
            throw new UsageException(string.Join("; ", result.Errors.Select(error => error.Message)) + " (llama2 --help lists the options)");
        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static int Fail(string message, int exitCode)
    {
        Console.Error.WriteLine("llama2: " + message.ReplaceLineEndings(" "));
        return exitCode;
    }
}

/// <summary>The command line asks for something that cannot be done; the message says what, in one line.</summary>
internal sealed class UsageException(string message) : Exception(message);
