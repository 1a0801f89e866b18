using System.Text;
using RadLine;
using Spectre.Console;

namespace Llama2.Cli.Chat;

/// <summary>Lines that a user types: with editing and history in a terminal, as they come otherwise.</summary>
internal sealed class LineInput : IDisposable
{
    private readonly LineEditor? _editor;
    private readonly StreamReader? _lines;

    /// <param name="onKey">Called at each key in a terminal, except Ctrl-C.</param>
    public LineInput(Action onKey)
    {
        if (!Console.IsInputRedirected && LineEditor.IsSupported(AnsiConsole.Console))
            _editor = CreateEditor(new Keys(onKey));
        else
            _lines = new StreamReader(Console.OpenStandardInput(), Encoding.UTF8);
    }

    public bool IsTerminal => _editor is not null; // if not, nobody can press Ctrl-C a second time

    /// <summary>The next line, or null where the input ends.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before the line ended.</exception>
    public string? Read(CancellationToken cancellation)
    {
        if (_editor is not null)
            return _editor.ReadLine(cancellation).GetAwaiter().GetResult();
        Task<string?> line = _lines!.ReadLineAsync(CancellationToken.None).AsTask(); // cannot be cancelled, only abandoned
        return line.WaitAsync(cancellation).GetAwaiter().GetResult();
    }

    private static LineEditor CreateEditor(Keys source)
    {
        LineEditor editor = new(source: source) { Prompt = new LineEditorPrompt("[bold]>[/]") };
        KeyBindings keys = editor.KeyBindings;
        keys.Add<PreviousHistoryCommand>(ConsoleKey.UpArrow);
        keys.Add<NextHistoryCommand>(ConsoleKey.DownArrow);
        keys.Add<MoveHomeCommand>(ConsoleKey.A, ConsoleModifiers.Control);
        keys.Add<MoveEndCommand>(ConsoleKey.E, ConsoleModifiers.Control);
        keys.Add(ConsoleKey.U, ConsoleModifiers.Control, () => new KeyCommand(Clear));
        keys.Add(ConsoleKey.D, ConsoleModifiers.Control, () => new KeyCommand(EndOfInput));
        return editor;

        static void Clear(LineEditorContext context)
        {
            context.Buffer.Clear(0, context.Buffer.Length);
            context.Buffer.Move(0);
        }

        static void EndOfInput(LineEditorContext context)
        {
            if (context.Buffer.Length == 0)
                context.Submit(SubmitAction.Cancel);
        }
    }

    public void Dispose() => _lines?.Dispose();

    private sealed class KeyCommand(Action<LineEditorContext> execute) : LineEditorCommand
    {
        public override void Execute(LineEditorContext context) => execute(context);
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
