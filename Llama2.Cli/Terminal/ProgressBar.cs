using Spectre.Console;

namespace Llama2.Cli.Terminal;

/// <summary>Progress of a long work on stderr: a bar where that is a terminal, nothing but notes where it is not.</summary>
internal sealed class ProgressBar(IAnsiConsole? console = null, ProgressTask? task = null)
{
    private const int FullWidth = 70; // of a terminal in which no column is wrapped

    /// <summary>Shows how many bytes are done, and of how many if that is known.</summary>
    public void Report(long done, long? total)
    {
        if (task is null)
            return;
        task.IsIndeterminate = total is null;
        task.MaxValue = total ?? double.MaxValue;
        task.Value = done;
    }

    /// <summary>A line above the bar.</summary>
    public void Note(string line)
    {
        if (console is null)
            Notes.Write(line);
        else
            console.WriteLine(Visible.Of(line));
    }

    /// <summary>Works under a bar with title, bytes, rate and time left; in a narrow terminal without the last three.</summary>
    public static Task RunAsync(string title, Func<ProgressBar, Task> work)
    {
        if (Console.IsErrorRedirected)
            return work(new ProgressBar());
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new Stderr() });
        ProgressColumn[] columns = [
            new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(),
            new TransferSpeedColumn(), new RemainingTimeColumn()];
        if (Tty.Size.Columns < FullWidth)
            columns = columns[..3];
        return console.Progress().Columns(columns)
            .StartAsync(context => work(new ProgressBar(console, context.AddTask(Markup.Escape(Visible.Of(title))))));
    }

    /// <summary>stderr without System.Console, which would change the terminal.</summary>
    private sealed class Stderr : IAnsiConsoleOutput
    {
        public TextWriter Writer => Notes.Writer;
        public bool IsTerminal => true;
        public int Width => Tty.Size.Columns;
        public int Height => Tty.Size.Rows;

        public void SetEncoding(System.Text.Encoding encoding)
        {
        }
    }
}
