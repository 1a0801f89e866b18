using System.Text;
using System.Text.Unicode;

namespace Llama2.Cli.Options;

/// <summary>
/// The bytes of an argument as the shell gave them. .NET makes U+FFFD of those that are no UTF-8, which would be other tokens than run.c's.
/// </summary>
internal static class ArgumentBytes
{
    private const string File = "/proc/self/cmdline"; // of Linux; elsewhere U+FFFD remains

    /// <param name="text">The value of an argument, or of an option, which may have come behind an equals sign.</param>
    public static byte[] Of(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        if (!text.Contains('\ufffd') || !System.IO.File.Exists(File))
            return utf8;
        string[] words = Environment.GetCommandLineArgs(); // the program, then its arguments, which also end the file
        string[] raw = Encoding.Latin1.GetString(System.IO.File.ReadAllBytes(File)).Split('\0')[..^1]; // a zero ends each word
        int at = Array.FindLastIndex(words, word => word == text || word.EndsWith('=' + text, StringComparison.Ordinal));
        if (at < 1 || raw.Length < words.Length)
            return utf8;
        byte[] bytes = Encoding.Latin1.GetBytes(raw[raw.Length - words.Length + at]);
        return bytes[Encoding.UTF8.GetByteCount(words[at][..^text.Length])..];
    }

    /// <summary>Whether the shell gave it as UTF-8.</summary>
    public static bool IsUtf8(string text) => !text.Contains('\ufffd') || Utf8.IsValid(Of(text));
}
