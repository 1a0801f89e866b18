using System.CommandLine;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Options;

/// <summary>The files of the session to begin with, and of the session to save at the end.</summary>
internal sealed class SessionOptions(Command command)
{
    private readonly Option<string?> _load = command.AddOption<string?>("--load-session", "file",
        "go on with a saved session; a prompt begins anew, and what it has in common with the session is not computed again");
    private readonly Option<string?> _save = command.AddOption<string?>("--save-session", "file", "save the session at the end");

    private readonly Option<string?> _persist = command.AddOption<string?>(
        "--persist-session", "file", "go on with the file if it is there, with a prompt added to it, and save to it at the end");

    /// <summary>Whether a session grows in its file.</summary>
    public bool Persists(ParseResult result) => result.IsGiven(_persist);

    public bool IsUsed(ParseResult result) => ((Option[])[_load, _save, _persist]).Any(result.IsGiven);

    /// <summary>The file to begin with, or null.</summary>
    /// <exception cref="UsageException">The options contradict each other.</exception>
    public string? LoadPath(ParseResult result)
    {
        UsageException.ThrowIf(result.IsGiven(_persist) && (result.IsGiven(_load) || result.IsGiven(_save)),
            "--persist-session already means --load-session and --save-session");
        string? persist = result.GetValue(_persist);
        return result.GetValue(_load) ?? (Path.Exists(persist) ? persist : null);
    }

    /// <summary>The file to end with, or null; its folder is there.</summary>
    /// <exception cref="OutputException">There is no such folder: better said before the work than after it.</exception>
    /// <exception cref="UsageException">There is a file of another kind, which would be lost.</exception>
    public string? SavePath(ParseResult result)
    {
        string? save = result.GetValue(_save), path = save ?? result.GetValue(_persist), kind = save is null ? null : Input.KindOf(save);
        UsageException.ThrowIf(kind is not (null or FileKind.Session),
            $"--save-session {save}: expected a new file or a saved session, found {kind}");
        return path is null || AtomicFile.HasFolder(path) ? path : throw new OutputException(path, new DirectoryNotFoundException());
    }
}
