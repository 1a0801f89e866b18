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
        Option<string> to = command.AddOption("--to", "folder", "the folder to put it in", () => "weights");
        Option<bool> force = command.AddFlag("--force", "replace a file that is there and differs");
        name.CompletionSources.Add(Hub.Names);
        command.SetAction(result =>
            Run(Hub.FilesOf(result.GetRequiredValue(name)), result.GetRequiredValue(to), result.GetValue(force)));
    }

    private static int Run(RemoteFile[] files, string folder, bool force)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(folder, e);
        }
        using Interrupt interrupt = new();
        using HttpClient http = Download.CreateClient();
        foreach (RemoteFile file in files)
            PullAsync(http, file, Path.Combine(folder, file.Name), force, interrupt.Token).GetAwaiter().GetResult();
        return ExitCode.Success;
    }

    private static async Task PullAsync(HttpClient http, RemoteFile file, string path, bool force, CancellationToken cancellation)
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
                };
                await download.RunAsync(cancellation);
                string checksum = download.IsVerified ? "checksum verified" : "no checksum is known";
                bar.Note($"{path}: {new FileInfo(path).Length} bytes, {checksum}");
            });
        }
        catch (OperationCanceledException)
        {
            Notes.Write($"llama2: interrupted; the same command goes on where this one stopped ({path}.part)");
            throw;
        }
    }

    /// <summary>Refuses a file that is no model or tokenizer, such as a server's page about an error.</summary>
    private static void CheckContents(string part, RemoteFile file)
    {
        try
        {
            if (file.Name.StartsWith("tok", StringComparison.OrdinalIgnoreCase))
                TokenizerFile.Open(part);
            else
                Checkpoint.Open(part).Dispose();
        }
        catch (ModelFileException e)
        {
            throw new DownloadException($"{file.Uri}: {e.Reason}", e);
        }
    }
}
