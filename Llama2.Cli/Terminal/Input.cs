namespace Llama2.Cli.Terminal;

/// <summary>Files that are named in the command line, - for stdin; a stdin that is closed is empty.</summary>
internal static class Input
{
    /// <summary>Opens a file. A named pipe waits for its writer, until it is cancelled.</summary>
    public static Stream Open(string path, CancellationToken cancellation) => path == "-"
        ? Tty.OpenInput()
        : Wait(Task.Run(() => File.OpenRead(path), CancellationToken.None), cancellation);

    /// <summary>All bytes of a file, less the newline at its end.</summary>
    public static byte[] ReadText(string path, CancellationToken cancellation)
    {
        using Stream stream = Open(path, cancellation);
        using MemoryStream bytes = new();
        Wait(Task.Run(() => { stream.CopyTo(bytes); return true; }, CancellationToken.None), cancellation);
        ReadOnlySpan<byte> text = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        return (text.EndsWith("\r\n"u8) ? text[..^2] : text.EndsWith("\n"u8) ? text[..^1] : text).ToArray();
    }

    /// <summary>Waits for what cannot be cancelled, as a read of a pipe or of a terminal, but abandoned.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before.</exception>
    public static T Wait<T>(Task<T> work, CancellationToken cancellation) => work.WaitAsync(cancellation).GetAwaiter().GetResult();
}
