namespace Llama2.Cli.Terminal;

/// <summary>Text of others (names of files, URLs, answers of servers), in which a terminal finds nothing to obey.</summary>
internal static class Printable
{
    /// <summary>The text, its control characters other than newline and tab shown as \xNN.</summary>
    public static string Of(string text) =>
        text.Any(IsObeyed) ? string.Concat(text.Select(c => IsObeyed(c) ? $"\\x{(int)c:x2}" : $"{c}")) : text;

    private static bool IsObeyed(char c) => char.IsControl(c) && c is not ('\n' or '\t'); // C0, DEL and C1
}
