using System.Formats.Tar;

namespace Llama2.Cli.Terminal;

/// <summary>
/// A file that appears under its name when it is complete, or not at all: it is written beside its place, flushed to the
/// disk and renamed. A full disk, Ctrl-C or any other error before that leaves the old file.
/// </summary>
internal static class AtomicFile
{
    private const int MaxLinks = 40; // Linux's own limit, which ends loops of links

    /// <summary>For what only its owner may read, such as a conversation.</summary>
    public const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>
    /// Writes a file; a link is followed, a device or pipe (/dev/stdout) is written in place. The permissions of a file that is replaced
    /// stay.
    /// </summary>
    /// <param name="mode">The permissions of a new file; null for the usual ones.</param>
    /// <param name="cancellation">
    /// Gives up a pipe that nobody reads; a file is written to its end. Cancelled before, a pipe's reader has a second to open it.
    /// </param>
    /// <exception cref="OperationCanceledException">It was cancelled; a pipe has not all of it.</exception>
    /// <exception cref="OutputException">The file cannot be written.</exception>
    public static void Write(string path, Action<Stream> write, UnixFileMode? mode = null, CancellationToken cancellation = default)
    {
        try
        {
            string target = RealPath(path);
            if (IsDevice(path))
                WriteInPlace(path, write, cancellation);
            else
                WriteBeside(target, write, mode);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    private static void WriteInPlace(string path, Action<Stream> write, CancellationToken cancellation)
    {
        bool isLate = cancellation.IsCancellationRequested; // what there is is still wanted, but nobody presses again
        using CancellationTokenSource second = new(TimeSpan.FromSeconds(1));
        FileStream device = Input.Wait(() => new FileStream(path, FileMode.Open, FileAccess.Write), isLate ? second.Token : cancellation);
        Input.Wait(Write, isLate ? default : cancellation);

        bool Write()
        {
            using (device)
                write(device);
            return true;
        }
    }

    private static void WriteBeside(string target, Action<Stream> write, UnixFileMode? mode)
    {
        string temporary = $"{target}.{Path.GetRandomFileName()}.tmp"; // a name that nobody can guess, to plant a link there
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows() && (File.Exists(target) ? File.GetUnixFileMode(target) : mode) is { } permissions)
            (mode, options.UnixCreateMode) = (permissions, permissions);
        try
        {
            using (FileStream stream = new(temporary, options))
            {
                if (!OperatingSystem.IsWindows() && mode is not null)
                    File.SetUnixFileMode(stream.SafeFileHandle, mode.Value); // also those that the umask took
                write(stream);
                stream.Flush(flushToDisk: true); // else a crash soon after may leave the new name on an empty file
            }
            File.Move(temporary, target, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    /// <summary>Whether there is a device or a pipe. Of .NET's interfaces, that of tar archives tells them from files.</summary>
    public static bool IsDevice(string path)
    {
        string target = RealPath(path);
        if (File.Exists(path) && !File.Exists(target))
            return target.StartsWith("/proc/", StringComparison.Ordinal); // /dev/stdout in a pipe: a link there to pipe:[NUMBER], no path
        if (new FileInfo(target) is not { Exists: true, Length: 0 })
            return false;
        using MemoryStream archive = new();
        using (TarWriter writer = new(archive, leaveOpen: true))
            writer.WriteEntry(target, "entry");
        archive.Position = 0;
        using TarReader reader = new(archive);
        return reader.GetNextEntry()!.EntryType is TarEntryType.CharacterDevice or TarEntryType.BlockDevice or TarEntryType.Fifo;
    }

    /// <summary>Whether two names, links followed, mean one file.</summary>
    /// <param name="input">A file that there is.</param>
    /// <param name="output">One that may be there.</param>
    /// <exception cref="OutputException">The links of the output lead nowhere.</exception>
    public static bool IsSame(string input, string output)
    {
        try
        {
            return RealPath(input) == RealPath(output);
        }
        catch (IOException e)
        {
            throw new OutputException(output, e);
        }
    }

    /// <summary>Whether the folder of a file exists, so that the file can be written.</summary>
    public static bool HasFolder(string path) =>
        path != "" && !path.Contains('\0') && Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path)));

    /// <summary>The full path without links in any of its parts, some of which may not exist yet.</summary>
    private static string RealPath(string path, int links = 0)
    {
        if (links > MaxLinks)
            throw new IOException("too many levels of symbolic links");
        string full = Path.GetFullPath(path);
        if (Path.GetDirectoryName(full) is not { } folder)
            return full;
        FileInfo file = new(Path.Combine(RealPath(folder, links), Path.GetFileName(full)));
        return file.LinkTarget is { } link ? RealPath(Path.Combine(file.DirectoryName!, link), links + 1) : file.FullName;
    }
}

/// <summary>A file that cannot be written, or removed. The message is one line that names the file and says why.</summary>
internal sealed class OutputException(string path, Exception inner, string what = "written", string advice = "")
    : IOException($"{path}: cannot be {what}: {Reason(inner)}{advice}", inner)
{
    private const int WouldBlock = 11, WouldBlockOnMac = 35, SharingViolation = unchecked((int)0x80070020); // of a file that is locked

    /// <summary>Whether the runtime throws this when a disk, a folder or a device refuses to be written.</summary>
    public static bool IsOfDisk(Exception e) => e is IOException or UnauthorizedAccessException
        or ArgumentOutOfRangeException { ParamName: "value" } // EFBIG: a file larger than its limit
        or ArgumentException { ParamName: "path" }; // no name of a file, such as one with a NUL

    /// <summary>Why, without the file that the runtime's messages also name, which may be a temporary one.</summary>
    public static string Reason(Exception inner) => inner switch
    {
        DirectoryNotFoundException => "there is no such folder",
        PathTooLongException => "its name is too long",
        IOException { HResult: WouldBlock or WouldBlockOnMac or SharingViolation } => "another program writes it now",
        _ => (inner.InnerException?.Message ?? inner.Message).Split(" : '")[0].Split(" (Parameter")[0].ReplaceLineEndings(" "),
    };
}
