using Llama2.Simple.Formats;

namespace Llama2.Cli.Terminal;

/// <summary>Files that are named in the command line, - for stdin; a stdin that is closed is empty.</summary>
internal static class Input
{
    /// <summary>Bytes of a text: more than any context takes, and little enough for memory. A file of holes has no end of them.</summary>
    public const int MaxText = 1 << 28;

    /// <summary>Opens a file. A named pipe waits for its writer, until it is cancelled.</summary>
    /// <exception cref="ModelFileException">There is no file that can be read.</exception>
    public static Stream Open(string path, CancellationToken cancellation) =>
        path == "-" || IsStdin(path)
        ? Tty.OpenInput() // also under its other names, as the runtime has a file of its own there if the shell closed it
        : Wait(() => OpenFile(path), cancellation);

    private static bool IsStdin(string path) => path is "/dev/stdin" or "/dev/fd/0" or "/proc/self/fd/0";

    /// <summary>Refuses another name of a stdin that the shell closed, where the runtime has a file of its own that never ends.</summary>
    /// <exception cref="ModelFileException">The path is one.</exception>
    public static void ThrowIfClosed(string path)
    {
        if (IsStdin(path) && !Tty.HasInput)
            throw new ModelFileException(path, "file", "a file", "a closed stdin");
    }

    private static FileStream OpenFile(string path)
    {
        try
        {
            return !Directory.Exists(path) ? File.OpenRead(path) : throw new ModelFileException(path, "file", "a file", "a folder");
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            bool isMissing = e is FileNotFoundException or DirectoryNotFoundException;
            throw new ModelFileException(path, "file", isMissing ? "a file" : "a readable file",
                isMissing ? "nothing there" : OutputException.Reason(e), e);
        }
    }

    /// <summary>All bytes of a file, less the newline at its end.</summary>
    /// <exception cref="IOException">There are more than <see cref="MaxText"/>.</exception>
    public static byte[] ReadText(string path, CancellationToken cancellation)
    {
        using Stream stream = Open(path, cancellation);
        ReadOnlySpan<byte> text = Wait(ReadAll, cancellation);
        return (text.EndsWith("\r\n"u8) ? text[..^2] : text.EndsWith("\n"u8) ? text[..^1] : text).ToArray();

        byte[] ReadAll()
        {
            using MemoryStream bytes = new();
            byte[] buffer = new byte[1 << 16];
            for (int count; (count = stream.Read(buffer)) > 0; bytes.Write(buffer, 0, count))
                ThrowIfTooLong(path, bytes.Length + count);
            return bytes.ToArray();
        }
    }

    /// <summary>What a file is by its first bytes, before it is written; null where there is none, or its kind is unknown.</summary>
    public static string? KindOf(string path)
    {
        try
        {
            if (!File.Exists(path) || AtomicFile.IsDevice(path))
                return null;
            using FileStream stream = File.OpenRead(path);
            byte[] start = new byte[FileKind.StartBytes];
            return FileKind.Of(start.AsSpan(0, stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)), stream.Length);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            return null; // to write it will say what is wrong
        }
    }

    /// <summary>The text of a file, with the newline at its end.</summary>
    /// <exception cref="ModelFileException">There is no file that can be read.</exception>
    public static string ReadString(string path)
    {
        using StreamReader reader = new(Open(path, CancellationToken.None));
        return reader.ReadToEnd();
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
    public static T Wait<T>(Func<T> work, CancellationToken cancellation) =>
        Task.Run(work, CancellationToken.None).WaitAsync(cancellation).GetAwaiter().GetResult();
}
