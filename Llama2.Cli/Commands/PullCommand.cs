using System.CommandLine;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Downloads models and tokenizers.</summary>
internal static class PullCommand
{
    public static void AddTo(Command command)
    {
        Argument<string> name = new("name") { Description = $"{string.Join(", ", Hub.Names)}, or a URL" };
        Option<string> to = new("--to") { Description = "the folder to put it in", HelpName = "folder", DefaultValueFactory = _ => "weights" };
        Option<bool> force = new("--force") { Description = "replace a file that is there and differs" };
        command.Add(name);
        command.Add(to);
        command.Add(force);
        name.CompletionSources.Add(Hub.Names);
        command.SetAction(result => Run(Hub.FilesOf(result.GetRequiredValue(name)), result.GetRequiredValue(to), result.GetValue(force)));
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
        return Program.Success;
    }

    private static async Task PullAsync(HttpClient http, RemoteFile file, string path, bool force, CancellationToken cancellation)
    {
        if (Path.Exists(path) && !force)
        {
            if (!await Download.IsThereAsync(file, path, cancellation).ConfigureAwait(false))
                throw new UsageException($"{path} is there, and may be something else; --force replaces it");
            Console.Error.WriteLine($"{path}: there already");
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
                await download.RunAsync(cancellation).ConfigureAwait(false);
                bar.Note($"{path}: {new FileInfo(path).Length} bytes, {(download.IsVerified ? "checksum verified" : "no checksum is known")}");
            }).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine($"llama2: interrupted; the same command goes on where this one stopped ({path}.part)");
            throw;
        }
    }

    /// <summary>What is not a model or a tokenizer, like a page that says why, must not get the name of one.</summary>
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
            throw new DownloadException(file.Uri + e.Message[part.Length..], e);
        }
    }
}
