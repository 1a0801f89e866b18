namespace Llama2.Cli.Terminal;

/// <summary>Text of others, as a model's or a server's, that a terminal shows and does not obey.</summary>
internal static class Visible
{
    /// <summary>The text with its control characters as ^[ or \x9b; newlines and tabs stay.</summary>
    public static string Of(string text) => text.Any(IsObeyed) ? string.Concat(text.Select(Shown)) : text;

    private static bool IsObeyed(char c) => char.IsControl(c) && c is not ('\n' or '\t'); // C0, DEL and C1

    private static string Shown(char c) => !IsObeyed(c) ? c.ToString() : c <= '\x7f' ? $"^{(char)(c ^ 0x40)}" : $"\\x{(int)c:x2}";
}
