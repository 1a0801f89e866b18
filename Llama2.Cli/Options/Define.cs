using System.CommandLine;
using System.CommandLine.Parsing;

namespace Llama2.Cli.Options;

/// <summary>Adds arguments and options to a command, in one line each; --help lists them in this order.</summary>
internal static class Define
{
    private static readonly string[] Names = ["file", "folder", "address"]; // values that must be names

    public static Argument<T> AddArgument<T>(this Command command, string name, string description, ArgumentArity? arity = null)
    {
        Argument<T> argument = new(name) { Description = description };
        argument.Arity = arity ?? argument.Arity;
        if (name != "text")
            argument.Validators.Add(result => RefuseNoName(result, name, result.Tokens));
        command.Add(argument);
        return argument;
    }

    /// <param name="names">All names, a blank between; --help shows the first and a letter.</param>
    /// <param name="helpName">The value's name in --help, or null for a flag.</param>
    /// <param name="defaultValue">The value where it is not given; null for the type's own.</param>
    public static Option<T> AddOption<T>(
        this Command command, string names, string? helpName, string description, Func<T>? defaultValue = null)
    {
        string[] all = names.Split(' ');
        Option<T> option = new(all[0], all[1..]) { Description = description, HelpName = helpName };
        option.AllowMultipleArgumentsPerToken = option.Arity.MaximumNumberOfValues == 1; // given twice, the last one wins, as in run.c
        option.CustomParser = Numbers.Parser<T>();
        if (Array.Exists(Names, name => helpName?.StartsWith(name, StringComparison.Ordinal) == true))
            option.Validators.Add(result => RefuseNoName(result, $"{result.IdentifierToken?.Value}", result.Tokens));
        if (defaultValue is not null)
            option.DefaultValueFactory = _ => defaultValue();
        command.Add(option);
        return option;
    }

    public static Option<bool> AddFlag(this Command command, string name, string description) =>
        command.AddOption<bool>(name, null, description);

    /// <summary>An option with a few values, the default first.</summary>
    public static Option<string> AddChoice(this Command command, string names, string helpName, string description, params string[] values)
    {
        Option<string> option = command.AddOption(names, helpName, description, () => values[0]);
        option.AcceptOnlyFrom(values);
        return option;
    }

    /// <summary>As System.CommandLine's AcceptOnlyFromAmong, whose errors have many lines.</summary>
    public static void AcceptOnlyFrom(this Option option, params string[] values)
    {
        option.CompletionSources.Add(values);
        option.Validators.Add(result => RefuseOther(result, $"{result.IdentifierToken?.Value}", result.Tokens, values));
    }

    /// <summary>The same for an argument.</summary>
    public static void AcceptOnlyFrom(this Argument argument, params string[] values)
    {
        argument.CompletionSources.Add(values);
        argument.Validators.Add(result => RefuseOther(result, argument.Name, result.Tokens, [.. values, ""])); // "" is refused already
    }

    private static void RefuseOther(SymbolResult result, string name, IReadOnlyList<Token> tokens, string[] values)
    {
        if (tokens is [.., { Value: var value }] && !values.Contains(value))
            result.AddError($"{name}: {value} is not {string.Join(" or ", values.Where(value => value != ""))}");
    }

    private static void RefuseNoName(SymbolResult result, string name, IReadOnlyList<Token> tokens)
    {
        if (tokens.Any(token => token.Value == ""))
            result.AddError($"{name}: expected a name, found an empty one");
        else if (tokens.FirstOrDefault(token => !ArgumentBytes.IsUtf8(token.Value)) is { } token)
            result.AddError($"{name}: expected a name in UTF-8, found {token.Value}"); // .NET opens no other
    }

    /// <summary>Whether an option was written, rather than left at its default.</summary>
    public static bool IsGiven(this ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };
}
