using System.CommandLine;
using System.CommandLine.Parsing;
using System.Reflection;
using Llama2.Cli.Commands;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;

namespace Llama2.Cli;

/// <summary>Parses the command line, runs the command, and turns errors into exit codes.</summary>
internal static class Program
{
    private sealed record Entry(string Name, string Description, Action<Command> AddTo);

    private static readonly Entry[] Commands =
    [
        new("generate", "Generates text from a prompt; the same as no command", GenerateCommand.AddTo),
        new("chat", "A conversation with a model; /help in it lists its commands", ChatCommand.AddTo),
        new("serve", "A server with OpenAI's, Ollama's and llama.cpp's API; many ask at once, and none changes another's answer",
            ServeCommand.AddTo),
        new("tokenize", "Prints the token ids of a text", TokenizeCommand.AddTo),
        new("detokenize", "Prints the text of token ids", DetokenizeCommand.AddTo),
        new("pull", "Downloads a model and its tokenizer, goes on where a download broke off, and verifies it", PullCommand.AddTo),
        new("list", "Lists the models that have names, and where they are", ListCommand.AddTo),
        new("rm", "Removes models from your folder", RmCommand.AddTo),
        new("bench", "Measures tok/s of models and implementations on this machine", BenchCommand.AddTo),
        new(ConvertCommand.QuantizeName, "Makes a model four times smaller (int8); the same as convert", ConvertCommand.AddTo),
        new(ConvertCommand.Name, "Writes a model as GGUF or in llama2.c's format, in types of 32 to 4 bits", ConvertCommand.AddTo),
        new("perplexity", "Measures how well a model predicts a text", PerplexityCommand.AddTo),
        new("verify", "Checks that every kernel, number of threads and batch gives the same bits on this machine", VerifyCommand.AddTo),
        new("inspect", "Shows what is in a checkpoint, and the memory it needs", InspectCommand.AddTo),
        new("completion", "Prints a script that makes the Tab key complete commands and options", CompletionCommand.AddTo),
    ];

    /// <summary>The names of all commands.</summary>
    public static IEnumerable<string> CommandNames => Commands.Select(command => command.Name);

    private static int Main(string[] args)
    {
        try
        {
            args = WithCommand(args);
            if (WillRunModel(args))
                FastTransformer.WarmUp(quantized: args.Contains("q8_0"));
            ParseResult result = Parse(args);
            if (result.Action is not PrintAction && UsageErrors.In(result, args) is { } wrong)
                throw new UsageException(wrong + " (llama2 --help lists the options)");
            InvocationConfiguration configuration = new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return result.Invoke(configuration);
        }
        catch (OperationCanceledException)
        {
            return Interrupt.ExitCode;
        }
        catch (ReaderGoneException)
        {
            return ExitCode.Success;
        }
        catch (Exception e) when (ExitCode.Of(e) is { } code)
        {
            Notes.Write("llama2: " + e.Message.ReplaceLineEndings(" "));
            return code;
        }
    }

    /// <summary>
    /// Guesses from the raw arguments whether a model will run, so that .NET compiles the kernel while the command line is
    /// parsed and files are read: the first token of the default model comes after 2.5 instead of 3.6 times the start of a
    /// hello world. A wrong guess costs only time.
    /// </summary>
    private static bool WillRunModel(string[] args) => !args.Any(arg =>
        arg is "simple" or "--impl=simple" or "help" or "--help" or "-h" or "-?" or "--version" or ['[', ..]
        || Commands.Any(command => arg == command.Name && arg is not ("generate" or "chat")));

    /// <summary>The arguments with a command in place of help, or of --server, which is llama.go's name for serve.</summary>
    internal static string[] WithCommand(string[] args)
    {
        if (args is ["help", ..] && !Path.Exists("help"))
            return [.. args[1..], "--help"];
        int server = Array.IndexOf(args.TakeWhile(arg => arg != "--").ToArray(), "--server");
        bool hasCommand = args is [var first, ..] && CommandNames.Contains(first);
        return server < 0 || hasCommand ? args : ["serve", .. args[..server], .. args[(server + 1)..]];
    }

    /// <summary>Parses as the program does: no bundling of one-letter options, no response files, a prompt may begin with @.</summary>
    internal static ParseResult Parse(IReadOnlyList<string> args) =>
        CreateRootCommand(args).Parse(args, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });

    /// <summary>The program's commands. Only those in args get their options, which saves 4 ms at each start.</summary>
    internal static Command CreateRootCommand(IReadOnlyList<string>? args = null)
    {
        RootCommand root = new("Runs models of llama2.c and GGUF. Without a command it generates text, as llama2.c's run does");
        bool all = args is null or [['[', ..], ..]; // [suggest:COLUMN] LINE asks for completions of a line
        root.Options.Clear();
        foreach ((string name, string description, Action<Command> addTo) in Commands)
        {
            Command command = new(name, description);
            if (all || args!.Contains(name))
                addTo(command);
            command.Validators.Add(RefuseWhatIsBefore);
            root.Add(command);
        }
        AddPrinting(root, "--version", "the version of this program", _ => Version + "\n");
        bool isOther = args is ["--version"] || (args is [var first, ..] && CommandNames.Contains(first));
        if (all || !isOther) // before another command generate's options are not expected
            GenerateCommand.AddTo(root);
        AddPrinting(root, "--help -h -? /h /?", "this help", HelpText.For).Recursive = true;
        return root;
    }

    private static string Version =>
        typeof(Program).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    private static Option<bool> AddPrinting(Command root, string names, string description, Func<Command, string> text)
    {
        Option<bool> option = root.AddOption<bool>(names, null, description);
        (option.Arity, option.Action) = (ArgumentArity.Zero, new PrintAction(text));
        return option;
    }

    /// <summary>Refuses an option or a checkpoint in front of a command, which would mean nothing.</summary>
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
}
