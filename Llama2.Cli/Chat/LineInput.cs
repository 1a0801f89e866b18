using System.Text;
using RadLine;
using Spectre.Console;

namespace Llama2.Cli.Chat;

/// <summary>Lines that a user types: with editing and history in a terminal, as they come otherwise.</summary>
internal sealed class LineInput : IDisposable
{
    private readonly LineEditor? _editor;
    private readonly StreamReader? _lines;

    /// <param name="onKey">Told of each key in a terminal; Ctrl-C is none.</param>
    public LineInput(Action onKey)
    {
        if (!Console.IsInputRedirected && LineEditor.IsSupported(AnsiConsole.Console))
            _editor = CreateEditor(new Keys(onKey));
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

    private static LineEditor CreateEditor(Keys source)
    {
        LineEditor editor = new(source: source) { Prompt = new LineEditorPrompt("[bold]>[/]") };
        KeyBindings keys = editor.KeyBindings;
        keys.Add<PreviousHistoryCommand>(ConsoleKey.UpArrow);
        keys.Add<NextHistoryCommand>(ConsoleKey.DownArrow);
        keys.Add<MoveHomeCommand>(ConsoleKey.A, ConsoleModifiers.Control);
        keys.Add<MoveEndCommand>(ConsoleKey.E, ConsoleModifiers.Control);
        keys.Add<ClearCommand>(ConsoleKey.U, ConsoleModifiers.Control);
        keys.Add<EndOfInputCommand>(ConsoleKey.D, ConsoleModifiers.Control);
        return editor;
    }

    public void Dispose() => _lines?.Dispose();

    /// <summary>Ctrl-U: an empty line again.</summary>
    private sealed class ClearCommand : LineEditorCommand
    {
        public override void Execute(LineEditorContext context)
        {
            context.Buffer.Clear(0, context.Buffer.Length);
            context.Buffer.Move(0);
        }
    }

    /// <summary>Ctrl-D in an empty line.</summary>
    private sealed class EndOfInputCommand : LineEditorCommand
    {
        public override void Execute(LineEditorContext context)
        {
            if (context.Buffer.Length == 0)
                context.Submit(SubmitAction.Cancel);
        }
    }

    private sealed class Keys(Action onKey) : IInputSource
    {
        public bool ByPassProcessing => false;

        public bool IsKeyAvailable() => Console.KeyAvailable;

        public ConsoleKeyInfo ReadKey()
        {
            onKey();
            return Console.ReadKey(intercept: true);
        }
    }
}
