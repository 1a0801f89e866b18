namespace Llama2.Fuzz;

/// <summary>A file of this process, rewritten for each input: the readers under test open paths, as users do.</summary>
internal sealed class ScratchFile
{
    // in memory where there is such a folder: thousands of files a second wear out a disk
    private static readonly string Folder = Directory.Exists("/dev/shm") ? "/dev/shm" : System.IO.Path.GetTempPath();

    public ScratchFile(string name)
    {
        Path = System.IO.Path.Combine(Folder, $"llama2-fuzz-{Environment.ProcessId}-{name}-{Guid.NewGuid():N}");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => File.Delete(Path);
    }

    public string Path { get; }

    /// <summary>Refusing the file must be one line that names it.</summary>
    public void CheckRefusal(ModelFileException e)
    {
        if (e.Message.Contains('\n', StringComparison.Ordinal) || !e.Message.StartsWith(Path, StringComparison.Ordinal))
            throw new BrokenPromiseException($"not one line that names the file: {e.Message}");
    }

    public void Write(ReadOnlySpan<byte> contents) => File.WriteAllBytes(Path, contents);
}
