using System.Globalization;
using System.Text;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Chat;

/// <summary>What the keys so far ask for.</summary>
internal enum Edited { MoreKeys, Line, EndOfInput, Interrupt, Suspend }

/// <summary>
/// A line as it is typed, with readline's keys. It gets bytes and tells what to draw, and knows nothing of a real terminal. A paste
/// between ESC[200~ and ESC[201~ is inserted whole, its newlines too. What follows a line stays for the next one.
/// </summary>
internal sealed class LineEditor(string prompt)
{
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private readonly Queue<char> _typed = new();
    private readonly StringBuilder _sequence = new();         // an escape sequence that goes on
    private readonly List<string> _history = [];
    private readonly Dictionary<int, string> _edits = [];     // lines of the history that were changed, and the draft after the last one
    private StringBuilder? _paste;
    private string _killed = "";
    private string? _search;                                  // what Ctrl-R looks for
    private int _cursor, _line, _searchedFrom, _row;          // _line of the history; _row of the screen, from the prompt's

    public string Text { get; private set; } = "";

    public void Feed(ReadOnlySpan<byte> bytes)
    {
        char[] chars = new char[_utf8.GetCharCount(bytes, flush: false)];
        _utf8.GetChars(bytes, chars, flush: false);
        Array.ForEach(chars, _typed.Enqueue);
    }

    /// <summary>Carries out the keys, until one asks for more than a change of the line.</summary>
    public Edited Next()
    {
        while (_typed.TryDequeue(out char c))
        {
            if (NextKey(c) is not { } key)
                continue;
            if (_paste is not null)
                Paste(key);
            else if (Press(key) is var edited and not Edited.MoreKeys)
                return edited;
        }
        return Edited.MoreKeys;
    }

    /// <summary>A character or an escape sequence, or null where that is not complete.</summary>
    private string? NextKey(char c)
    {
        if (char.IsHighSurrogate(c) && _typed.TryDequeue(out char low))
            return $"{c}{low}";
        if (c == '\e')
            _sequence.Clear();
        else if (_sequence.Length == 0)
            return c.ToString();
        string sequence = _sequence.Append(c).ToString();
        bool isComplete = sequence switch
        {
            ['\e'] or ['\e', '[' or 'O'] => false,
            ['\e', '[', .., var last] => last is >= '@' and <= '~',
            _ => true,
        };
        if (!isComplete)
            return null;
        _sequence.Clear();
        return sequence;
    }

    private void Paste(string key)
    {
        if (key != "\e[201~")
        {
            _paste!.Append(key);
            return;
        }
        Insert(_paste!.ToString().ReplaceLineEndings("\n"));
        _paste = null;
    }

    private Edited Press(string key)
    {
        if (_search is not null && Search(key))
            return Edited.MoreKeys;
        switch (key)
        {
            case "\r" or "\n":
                if (Text.Trim().Length > 0 && (_history.Count == 0 || _history[^1] != Text))
                    _history.Add(Text);
                return Edited.Line;
            case "\x03": return Edited.Interrupt;
            case "\x04" when Text.Length == 0: return Edited.EndOfInput;
            case "\x1a": return Edited.Suspend;
            case "\x04" or "\e[3~": Cut(_cursor, Right(), kill: false); break;
            case "\x7f" or "\b": Cut(Left(), _cursor, kill: false); break;
            case "\x02" or "\e[D" or "\eOD": _cursor = Left(); break;
            case "\x06" or "\e[C" or "\eOC": _cursor = Right(); break;
            case "\x01" or "\e[H" or "\eOH" or "\e[1~" or "\e[7~": _cursor = 0; break;
            case "\x05" or "\e[F" or "\eOF" or "\e[4~" or "\e[8~": _cursor = Text.Length; break;
            case "\eb" or "\e[1;5D" or "\e[1;3D": _cursor = WordStart(char.IsLetterOrDigit); break;
            case "\ef" or "\e[1;5C" or "\e[1;3C": _cursor = WordEnd(); break;
            case "\x0b": Cut(_cursor, Text.Length); break;
            case "\x15": Cut(0, _cursor); break;
            case "\x17": Cut(WordStart(c => !char.IsWhiteSpace(c)), _cursor); break;
            case "\e\x7f" or "\e\b": Cut(WordStart(char.IsLetterOrDigit), _cursor); break;
            case "\ed": Cut(_cursor, WordEnd()); break;
            case "\x19": Insert(_killed); break;
            case "\x10" or "\e[A" or "\eOA": Go(_line - 1); break;
            case "\x0e" or "\e[B" or "\eOB": Go(_line + 1); break;
            case "\x12": (_search, _searchedFrom) = ("", _line); break;
            case "\x0c": _row = ClearScreen; break;
            case "\e[200~": _paste = new StringBuilder(); break;
            default:
                if (!char.IsControl(key[0]))
                    Insert(key);
                break;
        }
        return Edited.MoreKeys;
    }

    /// <summary>Takes a key of Ctrl-R's search. Any other ends the search and does its own work on the line that was found.</summary>
    private bool Search(string key)
    {
        switch (key)
        {
            case "\x12": Find(_search!, _line - 1); break;
            case "\x7f" or "\b": Find(_search![..LeftOf(_search!, _search!.Length)], _searchedFrom - 1); break;
            case "\a" or "\x03": Go(_searchedFrom); _search = null; break;
            case var _ when !char.IsControl(key[0]): Find(_search + key, Math.Min(_line, _history.Count - 1)); break;
            default: _search = null; return false;
        }
        return true;
    }

    private void Find(string text, int last)
    {
        _search = text;
        int found = last < 0 ? -1 : _history.FindLastIndex(last, line => line.Contains(text, StringComparison.Ordinal));
        if (found >= 0)
        {
            Go(found);
            _cursor = Math.Max(0, Text.IndexOf(text, StringComparison.Ordinal));
        }
    }

    private void Go(int line)
    {
        if (line < 0 || line > _history.Count)
            return;
        _edits[_line] = Text;
        Text = _edits.TryGetValue(line, out string? edited) ? edited : line < _history.Count ? _history[line] : "";
        (_line, _cursor) = (line, Text.Length);
    }

    private void Insert(string text)
    {
        Text = Text.Insert(_cursor, text);
        _cursor += text.Length;
    }

    private void Cut(int start, int end, bool kill = true)
    {
        if (kill && end > start)
            _killed = Text[start..end];
        Text = Text.Remove(start, end - start);
        _cursor = start;
    }

    // Characters as users count them: a flag, a family or a letter with its accents is one.
    private int Left() => LeftOf(Text, _cursor);

    private static int LeftOf(string text, int cursor) =>
        StringInfo.ParseCombiningCharacters(text).LastOrDefault(start => start < cursor);

    private int Right() => _cursor + (_cursor < Text.Length ? StringInfo.GetNextTextElementLength(Text, _cursor) : 0);

    private int WordStart(Func<char, bool> isInWord)
    {
        int start = _cursor;
        while (start > 0 && !isInWord(Text[start - 1]))
            start--;
        while (start > 0 && isInWord(Text[start - 1]))
            start--;
        return start;
    }

    private int WordEnd()
    {
        int end = _cursor;
        while (end < Text.Length && !char.IsLetterOrDigit(Text[end]))
            end++;
        while (end < Text.Length && char.IsLetterOrDigit(Text[end]))
            end++;
        return end;
    }

    private const int ClearScreen = -1; // in place of the row

    /// <summary>What brings the screen up to date, in raw mode: as much of the line as fits, and the cursor.</summary>
    public string Draw(int columns, int rows)
    {
        (List<string> lines, int row, int column) = LayOut(columns);
        int first = Math.Max(0, Math.Min(row - rows / 2, lines.Count - rows));
        List<string> shown = lines[first..Math.Min(lines.Count, first + rows)];
        string start = _row == ClearScreen ? "\e[H\e[2J" : Move(_row, 'A') + "\r\e[J";
        _row = row - first;
        return start + string.Join("\r\n", shown) + Move(shown.Count - 1 - _row, 'A') + "\r" + Move(column, 'C');
    }

    /// <summary>Draws the line for the last time and begins the next one.</summary>
    public string Finish(int columns, int rows)
    {
        (_search, _paste, _cursor) = (null, null, Text.Length);
        string drawn = Draw(columns, rows) + "\r\n";
        _edits.Clear();
        (Text, _cursor, _row, _line) = ("", 0, 0, _history.Count);
        return drawn;
    }

    private static string Move(int count, char direction) => count > 0 ? $"\e[{count}{direction}" : "";

    // Rows are broken here and not by the terminal, whose cursor stays in the last column until the next character comes.
    private (List<string> Lines, int Row, int Column) LayOut(int columns)
    {
        List<string> lines = [];
        StringBuilder line = new(_search is null ? prompt : $"(reverse-i-search)`{_search}': ");
        int used = TextWidth.Of(line.ToString()), row = 0, column = 0;
        for (int at = 0, length; at <= Text.Length; at += length)
        {
            length = at < Text.Length ? StringInfo.GetNextTextElementLength(Text, at) : 1;
            string shown = at < Text.Length ? Text.Substring(at, length) : "";
            shown = shown == "\t" ? "    " : Visible.Of(shown);
            int width = shown is "" or "\n" ? 1 : TextWidth.Of(shown); // the cursor takes one column, too
            if (used + width > columns)
                Break();
            if (at == _cursor)
                (row, column) = (lines.Count, used);
            if (shown == "\n")
                Break();
            else
                (line, used) = (line.Append(shown), used + width);
        }
        lines.Add(line.ToString());
        return (lines, row, column);

        void Break()
        {
            lines.Add(line.ToString());
            line.Clear();
            used = 0;
        }
    }
}
