using System.CommandLine;
using System.CommandLine.Parsing;
using Llama2.Cli.Commands;
using Llama2.Fast;
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

    private static readonly (string Name, string Description, Action<Command> AddTo)[] Commands =
    [
        ("generate", "Generates text from a prompt; the same as no command", GenerateCommand.AddTo),
        ("chat", "A conversation with a model; /help in it lists its commands", ChatCommand.AddTo),
        ("tokenize", "Prints the token ids of a text", TokenizeCommand.AddTo),
        ("detokenize", "Prints the text of token ids", DetokenizeCommand.AddTo),
        ("pull", "Downloads a model and its tokenizer, goes on where a download broke off, and verifies it", PullCommand.AddTo),
        ("bench", "Measures tok/s of models and implementations on this machine", BenchCommand.AddTo),
        ("quantize", "Makes a model four times smaller (int8), or converts it between formats", QuantizeCommand.AddTo),
        ("verify", "Checks that every kernel, number of threads and batch gives the same bits on this machine", VerifyCommand.AddTo),
        ("inspect", "Shows what is in a checkpoint, and the memory it needs", InspectCommand.AddTo),
        ("completion", "Prints a script that makes the Tab key complete commands and options", CompletionCommand.AddTo),
    ];

    /// <summary>The program's commands and options.</summary>
    /// <param name="args">What will be parsed: the options of a command that it does not name are not made, since they would cost time at each start.</param>
    internal static Command CreateRootCommand(IReadOnlyList<string>? args = null)
    {
        const string Description = "Runs Llama 2 models of llama2.c's formats. Without a command it generates text, as llama2.c's run does";
        // Only a RootCommand knows directives, with which shells complete a line; but it looks up the help of its two options
        // in resources, which takes as long as all that is done here.
        bool completes = args is [['[', ..], ..];
        Command root = completes ? new RootCommand(Description) : new Command("llama2", Description);
        root.Options.Clear();
        foreach ((string name, string description, Action<Command> addTo) in Commands)
        {
            Command command = new(name, description);
            if (args is null || completes || args.Contains(name))
                addTo(command);
            command.Validators.Add(RefuseWhatIsBefore);
            root.Add(command);
        }
        root.Add(new Option<bool>("--version") { Description = "the version of this program", Arity = ArgumentArity.Zero, Action = new VersionText() });
        GenerateCommand.AddTo(root);
        root.Add(new Option<bool>("--help", "-h", "-?", "/h", "/?") { Description = "this help", Arity = ArgumentArity.Zero, Recursive = true, Action = new HelpText() });
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
        if (WillGenerate(args))
            FastTransformer.WarmUp(quantized: args.Contains("q8_0"));
        ParseResult result = Parse(args);
        if (result.Errors.Count > 0)
            throw new UsageException(string.Join("; ", result.Errors.Select(error => error.Message)) + " (llama2 --help lists the options)");
        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    /// <summary>A guess, since the answer of the parser comes when half the time until the first token is over; where it is wrong, nothing is lost but that.</summary>
    private static bool WillGenerate(string[] args) => !args.Any(arg =>
        arg is "simple" or "--impl=simple" or "--help" or "-h" or "-?" or "--version" or ['[', ..] || Commands.Any(command => arg == command.Name && arg is not ("generate" or "chat")));

    private static int Fail(string message, int exitCode)
    {
        Console.Error.WriteLine("llama2: " + message.ReplaceLineEndings(" "));
        return exitCode;
    }
}

/// <summary>The command line asks for something that cannot be done; the message says what, in one line.</summary>
internal sealed class UsageException(string message) : Exception(message);
