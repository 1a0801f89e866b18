using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>stdout, as UTF-8 on every platform, without a buffer so that text appears token by token.</summary>
internal static class Output
{
    private const int BrokenPipe = 32; // EPIPE

    private static readonly Stream? Stream = StandardStreams.OpenOutput();

    public static void Write(string text) => Write(Encoding.UTF8.GetBytes(text));

    public static void WriteLine(string text = "") => Write(text + "\n");

    /// <exception cref="ReaderGoneException">Nobody reads any more.</exception>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public static void Write(ReadOnlySpan<byte> utf8)
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
    }
}

/// <summary>The program that read stdout has ended, as head does. That ends the work, and is no error.</summary>
internal sealed class ReaderGoneException : Exception;
