using System.CommandLine;
using System.CommandLine.Parsing;

namespace Llama2.Cli.Options;

/// <summary>What is wrong with a command line, in the user's words.</summary>
internal static class UsageErrors
{
    /// <summary>The message of the first error, or null if the command line is right.</summary>
    public static string? In(ParseResult result, string[] args) => UnknownOption(result) ?? FlagWithValue(args, result) ?? Others(result);

    private static string? Others(ParseResult result) => result.Errors.Count == 0 ? null
        : result.CommandResult.Command is RootCommand && result.UnmatchedTokens.Count > 0 && !Path.Exists(result.Tokens[0].Value)
            && DidYouMean.Guess(result.Tokens[0].Value, Program.CommandNames) is { } guess
        ? $"{result.Tokens[0].Value}: there is no such command; did you mean {guess}?"
        : string.Join("; ", result.Errors.Select(error => InOurWords(error, result.UnmatchedTokens)));

    /// <summary>What System.CommandLine finds missing or too much, in our words, and what our own validators say.</summary>
    private static string InOurWords(ParseError error, IEnumerable<string> tooMany) => error.SymbolResult switch
    {
        OptionResult { Tokens: [], IdentifierToken: { } option } => $"{option.Value}: expected a value, found none",
        ArgumentResult { Tokens: [], Argument: var argument } => $"{argument.Name}: expected one, found none",
        _ when tooMany.FirstOrDefault(word => error.Message.Contains($"'{word}'", StringComparison.Ordinal)) is { } word =>
            $"{word}: expected nothing more",
        _ => error.Message,
    };

    // Arguments, and what is beyond them. They are sought by value, since System.CommandLine gives the latter as text, not as tokens.
    private static string[] Words(ParseResult result) =>
    [
        .. result.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens).Select(token => token.Value),
        .. result.UnmatchedTokens,
    ];

    /// <summary>Says that an option takes no value, where one that was joined to it was taken for an argument.</summary>
    private static string? FlagWithValue(string[] args, ParseResult result)
    {
        string[] words = Words(result);
        var found = from arg in args
                    let parts = arg.Split('=', 2)
                    where parts.Length == 2 && words.Contains(parts[1])
                    from flag in result.CommandResult.Command.Options.OfType<Option<bool>>()
                    where flag.Name == parts[0] || flag.Aliases.Contains(parts[0])
                    select $"{parts[0]}: {parts[1]} is not true or false";
        return found.FirstOrDefault();
    }

    /// <summary>Says that an argument was meant as an option. Behind -- it is a name, whatever it begins with.</summary>
    private static string? UnknownOption(ParseResult result)
    {
        string[] words = Words(result);
        Token? option = result.Tokens.TakeWhile(token => token.Type != TokenType.DoubleDash).FirstOrDefault(token =>
            token.Value is ['-', var second, ..] && !char.IsAsciiDigit(second) && token.Type == TokenType.Argument
            && words.Contains(token.Value));
        if (option is null)
            return null;
        string word = option.Value.Split('=')[0];
        string[] known = [.. result.CommandResult.Command.Options.Concat(result.RootCommandResult.Command.Options
            .Where(other => other.Recursive)).SelectMany(other => other.Aliases.Prepend(other.Name))];
        string? guess = Array.Find(known, name => Letters(name) == Letters(word)) ?? DidYouMean.Guess(word, known);
        return $"there is no option {option.Value}; "
            + (guess is not null ? $"did you mean {guess}?" : "a name that begins with - goes behind --");

        static string Letters(string name) => name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal);
    }
}
