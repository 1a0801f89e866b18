using System.Runtime.InteropServices;

namespace Llama2.Cli.Bench;

/// <summary>
/// A folder that is gone afterwards: at <see cref="Dispose"/>, and at once on Ctrl-C or SIGTERM, since a second one ends
/// the process without asking anybody. (Where an open file can be deleted, that is; elsewhere at Dispose.)
/// </summary>
internal sealed class TemporaryFolder : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;

    public TemporaryFolder()
    {
        Folder = Directory.CreateTempSubdirectory("llama2-bench-").FullName;
        _registrations = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP }
            .Select(signal => PosixSignalRegistration.Create(signal, _ => Delete()))];
    }

    public string Folder { get; }

    /// <summary>Where a file of that name would be.</summary>
    public string Path(string name) => System.IO.Path.Combine(Folder, name);

    private void Delete()
    {
        try
        {
            Directory.Delete(Folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
        Delete();
    }
}
