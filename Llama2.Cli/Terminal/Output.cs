using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>stdout, as UTF-8 on every platform, without a buffer so that text appears token by token.</summary>
internal static class Output
{
    private const int BrokenPipe = 32; // EPIPE

    private static readonly Stream? Stream = Tty.OpenOutput();

    public static bool IsTerminal { get; } = !Console.IsOutputRedirected;

    public static bool IsMidLine { get; set; } // so that a note on the same terminal would stick to the text

    /// <summary>Writes text as it is to a file or pipe, and with its control characters shown to a terminal.</summary>
    /// <exception cref="ReaderGoneException">Nobody reads any more.</exception>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public static void Write(string text) => WriteEscapes(IsTerminal ? Visible.Of(text) : text);

    public static void WriteLine(string text = "") => Write(text + "\n");

    /// <summary>Writes lines for a person, broken at blanks on a narrow terminal.</summary>
    public static void WriteLines(string text) => WriteLine(IsTerminal ? TextWidth.Wrap(Visible.Of(text), Tty.Size.Columns) : text);

    /// <summary>Writes bytes, which need not be UTF-8 of their own, likewise.</summary>
    public static void Write(ReadOnlySpan<byte> utf8)
    {
        if (IsTerminal)
            Write(Encoding.UTF8.GetString(utf8));
        else
            WriteBytes(utf8);
    }

    /// <summary>Writes our own text, in which there may be escape sequences for the terminal.</summary>
    public static void WriteEscapes(string text) => WriteBytes(Encoding.UTF8.GetBytes(text));

    private static void WriteBytes(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IsEmpty)
            return;
        try
        {
            (Stream ?? throw new IOException("it is closed")).Write(utf8);
        }
        catch (IOException e) when (e.HResult == BrokenPipe)
        {
            throw new ReaderGoneException();
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException("stdout", e);
        }
        IsMidLine = utf8[^1] != (byte)'\n';
    }
}

/// <summary>The program that read stdout has ended, as head does. That ends the work, and is no error.</summary>
internal sealed class ReaderGoneException : Exception;
