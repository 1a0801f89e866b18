using System.Text;
using RadLine;
using Spectre.Console;

namespace Llama2.Cli.Chat;

/// <summary>Lines that a user types: with editing and history in a terminal, as they come otherwise.</summary>
internal sealed class LineInput : IDisposable
{
    private readonly LineEditor? _editor;
    private readonly StreamReader? _lines;

    public LineInput()
    {
        if (!Console.IsInputRedirected && LineEditor.IsSupported(AnsiConsole.Console))
            _editor = CreateEditor();
        else
            _lines = new StreamReader(Console.OpenStandardInput(), Encoding.UTF8);
    }

    /// <summary>Whether somebody sits there, who can press Ctrl-C a second time.</summary>
    public bool IsTerminal => _editor is not null;

    /// <summary>The next line, or null where the input ends.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before the line ended.</exception>
    public string? Read(CancellationToken cancellation) => _editor is not null
        ? _editor.ReadLine(cancellation).GetAwaiter().GetResult()
        : _lines!.ReadLineAsync(CancellationToken.None).AsTask().WaitAsync(cancellation).GetAwaiter().GetResult(); // a read of stdin itself cannot be cancelled

    private static LineEditor CreateEditor()
    {
        LineEditor editor = new() { Prompt = new LineEditorPrompt("[bold]>[/]") };
        KeyBindings keys = editor.KeyBindings;
        keys.Add<PreviousHistoryCommand>(ConsoleKey.UpArrow);
        keys.Add<NextHistoryCommand>(ConsoleKey.DownArrow);
        keys.Add<MoveHomeCommand>(ConsoleKey.A, ConsoleModifiers.Control);
        keys.Add<MoveEndCommand>(ConsoleKey.E, ConsoleModifiers.Control);
        keys.Add<EndOfInputCommand>(ConsoleKey.D, ConsoleModifiers.Control);
        return editor;
    }

    public void Dispose() => _lines?.Dispose();

    /// <summary>Ctrl-D in an empty line.</summary>
    private sealed class EndOfInputCommand : LineEditorCommand
    {
        public override void Execute(LineEditorContext context)
        {
            if (context.Buffer.Length == 0)
                context.Submit(SubmitAction.Cancel);
        }
    }
}
