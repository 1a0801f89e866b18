using System.Security.Cryptography;
using System.Text;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Cli.Server;

/// <summary>
/// The files that texts of pods are saved in: sessions in one folder, and where callers have keys in a folder for each, whose name tells
/// nothing, so that none reads another's.
/// </summary>
internal sealed class SlotFiles(SessionStore store, string folder)
{
    private const int MaxNameBytes = 200;

    /// <summary>Writes a file, whole or not at all.</summary>
    /// <returns>Its bytes.</returns>
    /// <exception cref="ApiException">It cannot be written, or there is something else of this name; its folder is not named.</exception>
    public long Save(string owner, string name, SavedSession session)
    {
        string path = PathOf(owner, name);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            store.Save(path, session, CancellationToken.None);
            return new FileInfo(path).Length;
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            string reason = OutputException.Reason(e is OutputException { InnerException: { } cause } ? cause : e);
            throw new ApiException(500, "server_error",
                "the slot cannot be saved: " + reason.Replace(folder, "--slot-save-path", StringComparison.Ordinal), code: "not_saved");
        }
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="ApiException">There is none, or it is no session of this model; its folder is not named.</exception>
    public (SavedSession Session, long Bytes) Load(string owner, string name)
    {
        string path = PathOf(owner, name);
        if (!File.Exists(path))
            throw new ApiException(404, "not_found_error", "filename: there is no such file", "filename", "not_found");
        try
        {
            return (store.Load(path, CancellationToken.None), new FileInfo(path).Length);
        }
        catch (ModelFileException e)
        {
            throw ApiException.Invalid($"filename: {e.Reason}", "filename");
        }
    }

    private string PathOf(string owner, string name)
    {
        bool isName = name is not ("" or [' ' or '.', ..] or [.., ' ' or '.']) && Encoding.UTF8.GetByteCount(name) <= MaxNameBytes
            && !name.Any(character => char.IsControl(character) || "/\\:*?\"<>|".Contains(character));
        if (!isName)
            throw ApiException.Invalid("filename: expected a name without a path, which does not begin with a dot", "filename");
        string path = owner == TextRequest.Anybody ? Path.Combine(folder, name)
            : Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(owner)))[..32], name);
        // a link leads elsewhere, and a pipe would be waited for without an end
        return new FileInfo(path).LinkTarget is null && !Directory.Exists(path) && !AtomicFile.IsDevice(path) ? path
            : throw ApiException.Invalid("filename: expected a file, found a folder, a link or a device of this name", "filename");
    }
}
