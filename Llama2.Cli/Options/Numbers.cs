using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Llama2.Cli.Options;

/// <summary>Reads the numbers of options, with errors in the user's words.</summary>
internal static class Numbers
{
    /// <summary>What reads values of a type, or null if that is no number.</summary>
    public static Func<ArgumentResult, T?>? Parser<T>()
    {
        Type type = Nullable.GetUnderlyingType(typeof(T)) ?? typeof(T);
        return Reader(type) is { } read ? result => Read(result, read) is { } value ? (T)value : default : null;
    }

    private static Func<string, (object? Value, string Problem)>? Reader(Type type) =>
        type == typeof(int) ? Whole<int>
        : type == typeof(long) ? Whole<long>
        : type == typeof(float) ? text => ((float?)Number(text), "is not a number")
        : type == typeof(double) ? text => (Number(text), "is not a number")
        : null;

    private static object? Read(ArgumentResult result, Func<string, (object? Value, string Problem)> read)
    {
        string text = result.Tokens[^1].Value;
        (object? value, string problem) = read(text);
        if (value is null)
            result.AddError($"{((OptionResult)result.Parent!).IdentifierToken?.Value}: {text} {problem}");
        return value;
    }

    private static (object? Value, string Problem) Whole<T>(string text)
        where T : struct, IBinaryInteger<T>, IMinMaxValue<T>
    {
        string digits = text.Trim().TrimStart('-', '+');
        string problem = digits == "" || !digits.All(char.IsAsciiDigit) ? "is not a whole number"
            : text.Contains('-') ? $"is too small: the smallest is {T.MinValue}"
            : $"is too large: the largest is {T.MaxValue}";
        return (T.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out T number) ? number : null, problem);
    }

    /// <summary>A number, perhaps inf or -inf; null for all else, and for NaN.</summary>
    public static double? Number(string text)
    {
        string dotNets = text.EndsWith("inf", StringComparison.OrdinalIgnoreCase) ? text + "inity" : text;
        bool isNumber = double.TryParse(dotNets, NumberStyles.Float, CultureInfo.InvariantCulture, out double number);
        return isNumber && !double.IsNaN(number) ? number : null;
    }
}
