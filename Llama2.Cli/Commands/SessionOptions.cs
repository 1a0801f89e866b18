using System.CommandLine;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Sessions in files: which one to begin with, where the last state goes.</summary>
internal sealed class SessionOptions
{
    private readonly Option<string?> _load = new("--load-session") { Description = "go on with a saved session", HelpName = "file" };
    private readonly Option<string?> _save = new("--save-session") { Description = "save the session at the end", HelpName = "file" };
    private readonly Option<string?> _persist = new("--persist-session") { Description = "both: load the file if it is there, save to it at the end", HelpName = "file" };

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_load, _save, _persist])
            command.Add(option);
    }

    /// <summary>Whether any of them was given.</summary>
    public bool IsUsed(ParseResult result) => result.GetValue(_load) is not null || result.GetValue(_persist) is not null || SavePath(result) is not null;

    /// <summary>The file to begin with, or null.</summary>
    /// <exception cref="UsageException">The options contradict each other.</exception>
    public string? LoadPath(ParseResult result)
    {
        string? persist = result.GetValue(_persist);
        if (persist is not null && (result.GetValue(_load) ?? result.GetValue(_save)) is not null)
            throw new UsageException("--persist-session already means --load-session and --save-session");
        return result.GetValue(_load) ?? (Path.Exists(persist) ? persist : null);
    }

    /// <summary>The file to end with, or null; its folder is there.</summary>
    /// <exception cref="OutputException">There is no such folder: better said before the work than after it.</exception>
    public string? SavePath(ParseResult result)
    {
        string? path = result.GetValue(_save) ?? result.GetValue(_persist);
        return path is null || Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path))) ? path : throw new OutputException(path, new DirectoryNotFoundException());
    }
}

/// <summary>Reads and writes the sessions of one model and implementation.</summary>
internal sealed class SessionStore(LoadedModel model)
{
    private byte[]? _fingerprint;

    private byte[] Fingerprint => _fingerprint ??= ModelFingerprint.Of(model.Config, model.Weights);

    public SavedSession Load(string path) => SessionFile.Read(path, model.Config, Fingerprint, model.Implementation);

    /// <summary>Saves a session, atomically.</summary>
    /// <param name="path">The file.</param>
    /// <param name="session">The session, at least one token long.</param>
    /// <param name="pending">The token that comes next but has not been fed, if it is known.</param>
    /// <param name="secondsPerToken">Speed at which its tokens are read as a prompt, 0 if that was not measured.</param>
    /// <param name="notes">What else to remember.</param>
    public void Save(string path, Session session, int? pending, double secondsPerToken, string notes = "")
    {
        int[] tokens = pending is { } next ? [.. session.Tokens, next] : session.Tokens.ToArray();
        SavedSession saved = new(tokens, session.Cache, session.Sampler.Temperature, session.Sampler.TopP, session.Sampler.RandomState, (float)(secondsPerToken * tokens.Length), notes);
        AtomicFile.Write(path, stream => SessionFile.Write(stream, saved, model.Config, Fingerprint, model.Implementation));
    }
}
