namespace Llama2.Cli.Terminal;

/// <summary>Shows the bytes written of a total, and stops the work between two tensors after Ctrl-C.</summary>
internal sealed class WriteProgress(ProgressBar bar, long total, CancellationToken cancellation) : IProgress<long>
{
    public void Report(long value)
    {
        cancellation.ThrowIfCancellationRequested();
        bar.Report(value, total);
    }
}
