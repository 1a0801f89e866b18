namespace Llama2.Cli.Terminal;

/// <summary>Files that are named in the command line, - for stdin; a stdin that is closed is empty.</summary>
internal static class Input
{
    /// <summary>Bytes of a text: more than any context takes, and little enough for memory. A file of holes has no end of them.</summary>
    public const int MaxText = 1 << 28;

    /// <summary>Opens a file. A named pipe waits for its writer, until it is cancelled.</summary>
    public static Stream Open(string path, CancellationToken cancellation) => path == "-"
        ? Tty.OpenInput()
        : Wait(Task.Run(() => File.OpenRead(path), CancellationToken.None), cancellation);

    /// <summary>All bytes of a file, less the newline at its end.</summary>
    /// <exception cref="IOException">There are more than <see cref="MaxText"/>.</exception>
    public static byte[] ReadText(string path, CancellationToken cancellation)
    {
        using Stream stream = Open(path, cancellation);
        using MemoryStream bytes = new();
        Wait(Task.Run(Copy, CancellationToken.None), cancellation);
        ReadOnlySpan<byte> text = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        return (text.EndsWith("\r\n"u8) ? text[..^2] : text.EndsWith("\n"u8) ? text[..^1] : text).ToArray();

        bool Copy()
        {
            byte[] buffer = new byte[1 << 16];
            for (int count; (count = stream.Read(buffer)) > 0; bytes.Write(buffer, 0, count))
                ThrowIfTooLong(path, bytes.Length + count);
            return true;
        }
    }

    /// <summary>Refuses a text, or a line of one, of more than <see cref="MaxText"/> bytes.</summary>
    /// <exception cref="IOException">It is longer.</exception>
    public static void ThrowIfTooLong(string path, long length)
    {
        if (length > MaxText)
            throw new IOException($"{path}: expected at most {MaxText} bytes of text, found more");
    }

    /// <summary>Waits for what cannot be cancelled, as a read of a pipe or of a terminal, but abandoned.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before.</exception>
    public static T Wait<T>(Task<T> work, CancellationToken cancellation) => work.WaitAsync(cancellation).GetAwaiter().GetResult();
}
