using System.CommandLine;

namespace Llama2.Cli.Options;

/// <summary>Adds arguments and options to a command, in one line each; --help lists them in this order.</summary>
internal static class Define
{
    public static Argument<T> AddArgument<T>(this Command command, string name, string description, ArgumentArity? arity = null)
    {
        Argument<T> argument = new(name) { Description = description };
        argument.Arity = arity ?? argument.Arity;
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
        option.AcceptOnlyFromAmong(values);
        return option;
    }

    /// <summary>Whether an option was written, rather than left at its default.</summary>
    public static bool IsGiven(this ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };
}
