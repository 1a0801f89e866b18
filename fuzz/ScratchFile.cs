namespace Llama2.Fuzz;

/// <summary>A file of this process, rewritten for each input: the readers under test open paths, as users do.</summary>
internal sealed class ScratchFile
{
    // in memory where there is such a folder: thousands of files a second wear out a disk
    private static readonly string Folder = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();

    private readonly string _path = Path.Combine(Folder, $"llama2-fuzz-{Environment.ProcessId}-{Guid.NewGuid():N}");

    public ScratchFile() => AppDomain.CurrentDomain.ProcessExit += (_, _) => File.Delete(_path);

    public void Write(ReadOnlySpan<byte> contents) => File.WriteAllBytes(_path, contents);

    /// <summary>Reads from the file, which may be refused: in one line that names it.</summary>
    /// <returns>What was read, or the default if it is refused.</returns>
    public T? Read<T>(Func<string, T> read)
    {
        try
        {
            return read(_path);
        }
        catch (ModelFileException e)
        {
            if (e.Message.Contains('\n', StringComparison.Ordinal) || !e.Message.StartsWith(_path, StringComparison.Ordinal))
                throw new BrokenPromiseException($"not one line that names the file: {e.Message}");
            return default;
        }
    }
}
