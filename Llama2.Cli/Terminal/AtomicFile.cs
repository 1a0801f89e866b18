namespace Llama2.Cli.Terminal;

/// <summary>
/// A file that appears under its name when it is complete, or not at all: it is written beside its place, flushed to the
/// disk and renamed. A full disk, Ctrl-C or any other error before that leaves the old file.
/// </summary>
internal static class AtomicFile
{
    private const int MaxLinks = 40; // Linux's own limit, which ends loops of links

    /// <summary>Writes a file; a link is followed, a device (/dev/stdout) is written in place.</summary>
    /// <exception cref="OutputException">The file cannot be written.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        try
        {
            string target = RealPath(path);
            if (target.StartsWith("/dev/", StringComparison.Ordinal) || target.StartsWith("/proc/", StringComparison.Ordinal))
            {
                using FileStream device = new(path, FileMode.Open, FileAccess.Write);
                write(device);
            }
            else
            {
                WriteBeside(target, write);
            }
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    private static void WriteBeside(string target, Action<Stream> write)
    {
        string temporary = $"{target}.{Environment.ProcessId}.tmp";
        try
        {
            using (FileStream stream = new(temporary, FileMode.Create, FileAccess.Write, FileShare.Read))
            {
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

    /// <summary>Whether two names, links followed, mean one file.</summary>
    public static bool IsSame(string a, string b) => RealPath(a) == RealPath(b);

    /// <summary>Whether the folder of a file exists, so that the file can be written.</summary>
    public static bool HasFolder(string path) => path != "" && Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path)));

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

/// <summary>A file that cannot be written. The message is one line that names the file and says why.</summary>
internal sealed class OutputException(string path, Exception inner) : IOException($"{path}: cannot be written: {Reason(inner)}", inner)
{
    /// <summary>Whether the runtime throws this when a disk, a folder or a device refuses to be written.</summary>
    public static bool IsOfDisk(Exception e) => e is IOException or UnauthorizedAccessException
        or ArgumentOutOfRangeException { ParamName: "value" }; // EFBIG: a file larger than its limit

    // The runtime's messages also name a file, here that of a temporary one.
    private static string Reason(Exception inner) => inner is DirectoryNotFoundException
        ? "there is no such folder"
        : (inner.InnerException?.Message ?? inner.Message).Split(" : '")[0].Split(" (Parameter")[0].ReplaceLineEndings(" ");
}
