using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>stdout, as UTF-8 on every platform, flushed at each write so that text appears token by token.</summary>
internal static class Output
{
    private static readonly StreamWriter Writer =
        new(Console.OpenStandardOutput(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true, NewLine = "\n" };

    public static void Write(string text)
    {
        if (text.Length > 0)
            Writer.Write(text);
    }

    public static void WriteLine(string text = "") => Writer.WriteLine(text);
}
