using Spectre.Console;

namespace Llama2.Cli;

/// <summary>Progress of a long work on stderr: a bar where that is a terminal, nothing but notes where it is not.</summary>
internal sealed class ProgressBar
{
    private readonly IAnsiConsole? _console;
    private readonly ProgressTask? _task;

    private ProgressBar(IAnsiConsole? console, ProgressTask? task) => (_console, _task) = (console, task);

    /// <summary>Shows how many bytes are done, of how many if that is known.</summary>
    public void Report(long done, long? total)
    {
        if (_task is null)
            return;
        _task.IsIndeterminate = total is null;
        _task.MaxValue = total ?? double.MaxValue;
        _task.Value = done;
    }

    /// <summary>A line above the bar.</summary>
    public void Note(string line)
    {
        if (_console is null)
            Console.Error.WriteLine(line);
        else
            _console.WriteLine(line);
    }

    /// <summary>Works under a bar: title, bytes, rate and time left.</summary>
    public static async Task RunAsync(string title, Func<ProgressBar, Task> work)
    {
        if (Console.IsErrorRedirected)
        {
            await work(new ProgressBar(null, null)).ConfigureAwait(false);
            return;
        }
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .StartAsync(context => work(new ProgressBar(console, context.AddTask(Markup.Escape(title))))).ConfigureAwait(false);
    }
}
