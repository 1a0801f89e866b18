using System.Text;
using System.Text.Unicode;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Chat;

/// <summary>Lines that a user types: with editing and history in a terminal, as they come otherwise.</summary>
internal sealed class LineInput : IDisposable
{
    private const string PasteOn = "\e[?2004h", PasteOff = "\e[?2004l"; // whether the terminal marks what is pasted

    private readonly Stream _input = Tty.OpenInput();
    private readonly LineEditor? _editor = Tty.CanEdit ? new LineEditor("> ") : null;
    private readonly LineReader _lines; // where lines are not edited
    private readonly Action _onKey;
    private readonly byte[] _keys = new byte[4096];
    private Task<int>? _read; // goes on if its wait was cancelled: a read of stdin cannot be

    /// <param name="onKey">Called at each key in a terminal, except Ctrl-C.</param>
    public LineInput(Action onKey) => (_lines, _onKey) = (new LineReader(_input, "-"), onKey);

    public bool IsTerminal => _editor is not null;

    /// <summary>The next line, or null where the input ends.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled before the line ended.</exception>
    public string? Read(CancellationToken cancellation) => _editor is not null ? Edit(_editor, cancellation)
        : _lines.Read(cancellation) is { } line ? Text(line)
        : null;

    private static string Text(byte[] line)
    {
        if (!Utf8.IsValid(line))
            Notes.Write("that line is no UTF-8: what is none of it is taken as U+FFFD");
        return Encoding.UTF8.GetString(line).TrimStart('\uFEFF'); // a byte order mark
    }

    private string? Edit(LineEditor editor, CancellationToken cancellation)
    {
        Tty.RawMode raw = new();
        Output.WriteEscapes(PasteOn);
        try
        {
            while (true)
            {
                Edited edited = editor.Next();
                (int columns, int rows) = Tty.Size;
                Output.WriteEscapes(editor.Draw(columns, rows));
                switch (edited)
                {
                    case Edited.Line:
                        return editor.Text;
                    case Edited.EndOfInput:
                        return null;
                    case Edited.Interrupt: // as if the terminal had seen the key
                        Tty.Interrupt();
                        cancellation.WaitHandle.WaitOne(TimeSpan.FromSeconds(1));
                        cancellation.ThrowIfCancellationRequested();
                        break;
                    case Edited.Suspend:
                        Output.WriteEscapes(PasteOff);
                        raw.Dispose();
                        Tty.Suspend();
                        Thread.Sleep(100); // the signal may take a moment to stop us
                        raw = new Tty.RawMode();
                        Output.WriteEscapes(PasteOn + "\r\n");
                        break;
                    default:
                        _read ??= Task.Run(() => _input.Read(_keys));
                        int count = _read.WaitAsync(cancellation).GetAwaiter().GetResult();
                        _read = null;
                        if (count == 0)
                            return null;
                        if (!_keys.AsSpan(0, count).Contains((byte)3))
                            _onKey();
                        editor.Feed(_keys.AsSpan(0, count));
                        break;
                }
            }
        }
        finally
        {
            (int columns, int rows) = Tty.Size;
            Output.WriteEscapes(PasteOff + editor.Finish(columns, rows));
            raw.Dispose();
        }
    }

    public void Dispose() => _lines.Dispose();
}
