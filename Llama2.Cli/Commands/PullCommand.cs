using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Cli.Commands;

/// <summary>Downloads models and tokenizers.</summary>
internal static class PullCommand
{
    public static void AddTo(Command command)
    {
        Argument<string> name = command.AddArgument<string>("name", $"{string.Join(", ", Hub.Names)}, or a URL");
        Option<string> to = command.AddOption("--to", "folder", "the folder to put it in; default: "
            + $"${ModelFolder.Variable}, else $XDG_DATA_HOME/llama2/models, which is ~/.local/share/llama2/models", () => ModelFolder.Path);
        Option<bool> force = command.AddFlag("--force", "replace a file that is there and differs");
        Option<int> maxGigabytes = command.AddOption("--max-gb", "int", "the largest file to take from a URL, in GB", () => 16);
        name.CompletionSources.Add(Hub.Names);
        command.SetAction(result => Run(Hub.FilesOf(result.GetRequiredValue(name)), result.GetRequiredValue(to), result.GetValue(force),
            result.GetValue(maxGigabytes)));
    }

    private static int Run(RemoteFile[] files, string folder, bool force, int maxGigabytes)
    {
        UsageException.ThrowIf(maxGigabytes < 1, $"--max-gb: expected 1 or more, found {maxGigabytes}");
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(folder, e, advice: $"; --to FOLDER or {ModelFolder.Variable} names another folder");
        }
        using Interrupt interrupt = new();
        using HttpClient http = Download.CreateClient();
        foreach (RemoteFile file in files)
        {
            string path = Path.Combine(folder, file.Name);
            PullAsync(http, file, path, force, maxGigabytes * 1_000_000_000L, interrupt.Token).GetAwaiter().GetResult();
        }
        return ExitCode.Success;
    }

    private static async Task PullAsync(
        HttpClient http, RemoteFile file, string path, bool force, long maxLength, CancellationToken cancellation)
    {
        if (Path.Exists(path) && !force)
        {
            if (!await Download.IsThereAsync(file, path, cancellation))
                throw new UsageException($"{path} is there, and may be something else; --force replaces it");
            Notes.Write($"{path}: there already");
            return;
        }
        try
        {
            await ProgressBar.RunAsync(file.Name, async bar =>
            {
                Download download = new(http, file, path)
                {
                    OnProgress = bar.Report,
                    OnRetry = bar.Note,
                    Check = part => CheckContents(part, file),
                    MaxLength = maxLength,
                };
                await download.RunAsync(cancellation);
                string checksum = download.IsVerified ? "checksum verified" : "no checksum is known";
                bar.Note($"{path}: {new FileInfo(path).Length} bytes, {checksum}");
            });
        }
        catch (OperationCanceledException)
        {
            Notes.Write("llama2: interrupted; " + (File.Exists(path + Download.PartEnding)
                ? $"the same command goes on where this one stopped ({path}.part)"
                : "nothing of it is kept"));
            throw;
        }
    }

    /// <summary>Refuses a file that is no model or tokenizer, such as a server's page about an error. Its name says nothing.</summary>
    private static void CheckContents(FileStream part, RemoteFile file)
    {
        byte[] start = ReadStart(part, FileKind.StartBytes);
        string? kind = FileKind.Of(start, part.Length);
        try
        {
            if (kind is not (null or FileKind.Tokenizer or FileKind.Checkpoint or FileKind.Gguf))
                throw new ModelFileException(file.Name, "file", "a checkpoint or a tokenizer of llama2.c, or a GGUF file", kind);
            if (kind == FileKind.Tokenizer)
                TokenizerFile.Parse(ReadStart(part, TokenizerFile.MaxBytes), file.Name);
            else if (kind != FileKind.Gguf) // its header is long: it is read when the model is opened
                CheckpointHeader.Parse(start, part.Length, file.Name);
        }
        catch (ModelFileException e)
        {
            throw new DownloadException($"{Download.Shown(file.Uri)}: {e.Reason}", e);
        }
    }

    private static byte[] ReadStart(FileStream part, int most)
    {
        byte[] bytes = new byte[Math.Min(part.Length, most)];
        part.Position = 0;
        part.ReadExactly(bytes);
        return bytes;
    }
}
