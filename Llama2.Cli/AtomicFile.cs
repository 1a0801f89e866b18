namespace Llama2.Cli;

/// <summary>
/// A file that appears under its name when it is complete, or not at all: it is written beside its place, flushed to the
/// disk and renamed. Whatever goes wrong before that (a full disk, Ctrl-C, an error) leaves what was there before.
/// </summary>
internal static class AtomicFile
{
    private const int MaxLinks = 40; // as Linux counts, before it calls them a loop

    /// <summary>Writes a file.</summary>
    /// <param name="path">The name; a link is followed, a device (/dev/stdout) is written in place.</param>
    /// <param name="write">Writes the contents. What it throws passes through, but for errors of the disk.</param>
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

    /// <summary>Whether two names, links followed, mean one place.</summary>
    public static bool IsSame(string a, string b) => RealPath(a) == RealPath(b);

    /// <summary>The full path without links in any of its parts; what does not exist yet is kept as it is named.</summary>
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
