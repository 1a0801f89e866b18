using System.Text;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Chat;

/// <summary>An answer on stdout as it comes, broken at blanks where that is a terminal.</summary>
internal sealed class AnswerText
{
    private readonly WordWrap? _wrap = Output.IsTerminal ? new(Tty.Size.Columns) : null;

    public void Write(string text)
    {
        if (_wrap is null)
            Output.Write(text);
        else
            Output.WriteEscapes(_wrap.Add(Visible.Of(text), atStart: !Output.IsMidLine));
    }
}

/// <summary>Breaks text at blanks. A word that has begun to be shown and does not fit is taken to the next line.</summary>
internal sealed class WordWrap(int columns)
{
    private readonly StringBuilder _word = new(); // that the line ends with
    private int _column, _wordWidth;

    /// <summary>What to write for more text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="atStart">Whether the cursor is in the first column, since something else was written.</param>
    public string Add(string text, bool atStart = false)
    {
        StringBuilder shown = new();
        if (atStart)
            Begin("", 0);
        foreach (Rune rune in text.EnumerateRunes())
        {
            string character = rune.ToString();
            int width = rune.Value == '\t' ? 8 - _column % 8 : TextWidth.Of(rune);
            bool isBlank = rune.Value is ' ' or '\t', fits = _column + width <= columns;
            if (rune.Value == '\n')
            {
                shown.Append('\n');
                Begin("", 0);
                continue;
            }
            if (!fits && isBlank) // the break takes its place
            {
                EndWord();
                continue;
            }
            if (!fits && _wordWidth > 0 && _wordWidth < _column)
            {
                shown.Append($"\r\e[{_column - _wordWidth}C\e[K\n{_word}");
                Begin(_word.ToString(), _wordWidth);
            }
            else if (!fits)
            {
                shown.Append('\n');
                Begin("", 0);
            }
            shown.Append(character);
            _column += width;
            if (isBlank || width == 2) // between wide characters a line may break, too
                EndWord();
            else
                (_, _wordWidth) = (_word.Append(character), _wordWidth + width);
        }
        return shown.ToString();
    }

    private void Begin(string word, int width)
    {
        _word.Clear().Append(word);
        _column = _wordWidth = width;
    }

    private void EndWord()
    {
        _word.Clear();
        _wordWidth = 0;
    }
}
