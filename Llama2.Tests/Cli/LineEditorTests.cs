using System.Text;
using Llama2.Cli.Chat;

namespace Llama2.Tests.Cli;

/// <summary>The line editor of chat: readline's keys, and a screen that shows the line.</summary>
public sealed class LineEditorTests
{
    private const string Left = "\e[D", Right = "\e[C", Up = "\e[A", Down = "\e[B";

    /// <summary>The line after some keys, and with | where the cursor is.</summary>
    private static string Typed(string keys, LineEditor? editor = null)
    {
        editor ??= new LineEditor("> ");
        editor.Feed(Encoding.UTF8.GetBytes(keys));
        Assert.Equal(Edited.MoreKeys, editor.Next());
        editor.Feed("|"u8);
        editor.Next();
        return editor.Text;
    }

    private static List<string> Lines(string keys)
    {
        LineEditor editor = new("> ");
        List<string> lines = [];
        editor.Feed(Encoding.UTF8.GetBytes(keys));
        while (editor.Next() == Edited.Line)
        {
            lines.Add(editor.Text);
            editor.Finish(80, 24);
        }
        return lines;
    }

    [Theory]
    [InlineData("a🙂\u007f", "a|")]                           // a surrogate pair
    [InlineData("ae\u0301\u007f", "a|")]                      // a letter and its accent
    [InlineData("a👩‍👩‍👧\u007f", "a|")]                          // a family
    [InlineData("🇫🇷🇩🇪\u007f", "🇫🇷|")]                         // a flag
    [InlineData("日本" + Left + "\u007f", "|本")]
    [InlineData("a🙂b" + Left + Left + "\u0004", "a|b")]
    [InlineData("🙂🙂" + Left + Left + Right, "🙂|🙂")]
    public void A_character_goes_as_a_whole(string keys, string line) => Assert.Equal(line, Typed(keys));

    [Theory]
    [InlineData("one two\eb", "one |two")]
    [InlineData("one two\eb\eb\ef", "one| two")]
    [InlineData("one two\u0001\ed", "| two")]
    [InlineData("one two-three\u0017", "one |")]
    [InlineData("one two-three\e\u007f", "one two-|")]
    [InlineData("one two\u0015", "|")]
    [InlineData("one two\eb\u000b", "one |")]
    [InlineData("one two\u0017\u0001\u0019", "two|one ")]
    [InlineData("one\e[H1\e[F2", "1one2|")]
    [InlineData("one\u0001\e[3~", "|ne")]
    [InlineData("one\e[1;5D\e[5~x\ex", "x|one")]               // Page up and Alt-x do nothing
    [InlineData("one\u0002\u0002\u0006", "on|e")]
    public void The_keys_are_readlines(string keys, string line) => Assert.Equal(line, Typed(keys));

    [Fact]
    public void The_history_keeps_the_draft_and_what_was_changed_in_it()
    {
        LineEditor editor = new("> ");
        editor.Feed("first\rsecond\r"u8);
        Assert.Equal(Edited.Line, editor.Next());
        editor.Finish(80, 24);
        Assert.Equal(Edited.Line, editor.Next());
        editor.Finish(80, 24);
        Assert.Equal("draft|", Typed("draft" + Up + Up + Down + Down, editor));
        Assert.Equal("second2|", Typed(Up + "2" + Up + Down, editor));
        Assert.Equal("first|", Typed(Up + Up + Up, editor));
    }

    [Theory]
    [InlineData("\u0012b", "|beta one")]
    [InlineData("\u0012one\u0012", "alpha |one")]
    [InlineData("\u0012alx\u007f\u0001", "|alpha one")]
    [InlineData("draft\u0012al\a", "draft|")]
    [InlineData("draft\u0012zz\u0001", "|draft")]
    public void Ctrl_R_searches_the_history(string keys, string line)
    {
        LineEditor editor = new("> ");
        foreach (string earlier in (string[])["alpha one\r", "beta one\r", "gamma\r"])
        {
            editor.Feed(Encoding.UTF8.GetBytes(earlier));
            editor.Next();
            editor.Finish(80, 24);
        }
        editor.Feed(Encoding.UTF8.GetBytes(keys));
        editor.Next();
        if (editor.Draw(80, 24).Contains("reverse", StringComparison.Ordinal))
            editor.Feed("\u0002\u0006"u8); // a key that ends the search and leaves the cursor
        Assert.Equal(line, line.StartsWith('|') ? Typed("\u0001", editor) : Typed("", editor));
    }

    [Theory]
    [InlineData("one\ntwo\r", "one", "two")]
    [InlineData("\e[200~one\rtwo\r\nthree\e[201~\r", "one\ntwo\nthree")]
    [InlineData("a\e[200~\tb\u0003\e[201~c\rnext\r", "a\tb\u0003c", "next")]
    [InlineData("a\e[200~\e\e[201~\rb\r", "a", "b")]
    [InlineData("日本\r🙂\r", "日本", "🙂")]
    public void A_paste_is_one_message_and_either_newline_submits(string keys, params string[] lines) => Assert.Equal(lines, Lines(keys));

    [Fact]
    public void Keys_may_come_in_parts()
    {
        LineEditor editor = new("> ");
        foreach (byte part in Encoding.UTF8.GetBytes("a🙂b\e[D\e[1;5D\e[200~x\ny\e[201~"))
        {
            editor.Feed([part]);
            Assert.Equal(Edited.MoreKeys, editor.Next());
        }
        Assert.Equal("x\nya🙂b", editor.Text);
    }

    [Theory]
    [InlineData("\u0003", "Interrupt")]
    [InlineData("\u0004", "EndOfInput")]
    [InlineData("a\u0004", "MoreKeys")]
    [InlineData("\u001a", "Suspend")]
    public void Some_keys_are_for_others(string keys, string edited)
    {
        LineEditor editor = new("> ");
        editor.Feed(Encoding.UTF8.GetBytes(keys));
        Assert.Equal(edited, $"{editor.Next()}");
    }

    [Theory]
    [InlineData("abc", "> abc", 0, 5)]
    [InlineData("abcdefgh", "> abcdefgh\n", 1, 0)]              // the row is full: the cursor is in the next one
    [InlineData("abcdefghij" + Left + Left, "> abcdefgh\nij", 1, 0)]
    [InlineData("日本語日本", "> 日本語日\n本", 1, 2)]
    [InlineData("a日本語日本" + Left, "> a日本語\n日本", 1, 2)] // half a character does not fit
    [InlineData("a\e[200~\rb\t\e[201~", "> a\nb    ", 1, 5)]
    [InlineData("\e[200~\u009b\e[201~", "> \\x9b", 0, 6)]
    public void The_screen_shows_the_line_and_the_cursor(string keys, string screen, int row, int column)
    {
        LineEditor editor = new("> ");
        ScreenOfTests shown = new();
        foreach (char key in keys) // drawn at each key
        {
            editor.Feed(Encoding.UTF8.GetBytes($"{key}"));
            editor.Next();
            shown.Draw(editor.Draw(10, 24));
        }
        Assert.Equal((screen, row, column), (shown.Text, shown.Row, shown.Column));
    }

    [Fact]
    public void A_line_longer_than_the_screen_shows_the_rows_around_the_cursor()
    {
        LineEditor editor = new("> ");
        ScreenOfTests shown = new();
        string lines = string.Join('\n', Enumerable.Range(0, 50));
        editor.Feed(Encoding.UTF8.GetBytes($"\e[200~{lines}\e[201~"));
        editor.Next();
        for (int i = 0; i < 2; i++)
            shown.Draw(editor.Draw(10, 5));
        Assert.Equal(("45\n46\n47\n48\n49", 4, 2), (shown.Text, shown.Row, shown.Column));
        editor.Feed("\u0001"u8);
        editor.Next();
        shown.Draw(editor.Draw(10, 5));
        Assert.Equal(("> 0\n1\n2\n3\n4", 0, 2), (shown.Text, shown.Row, shown.Column));
    }

    /// <summary>As much of a terminal as the editor uses; a wide character is one cell of text and two columns.</summary>
    private sealed class ScreenOfTests
    {
        private readonly List<StringBuilder> _rows = [new()];

        public int Row { get; private set; }
        public int Column { get; private set; }
        public string Text => string.Join('\n', _rows);

        public void Draw(string text)
        {
            for (int at = 0; at < text.Length; at++)
            {
                if (text[at] == '\e')
                {
                    int end = text.IndexOfAny(['A', 'C', 'J'], at);
                    int count = end == at + 2 ? 0 : int.Parse(text[(at + 2)..end], null);
                    Escape(text[end], count);
                    at = end;
                }
                else if (text[at] == '\r')
                    Column = 0;
                else if (text[at] == '\n')
                {
                    if (++Row == _rows.Count)
                        _rows.Add(new());
                }
                else
                {
                    _rows[Row].Append(text[at]);
                    Column += Llama2.Cli.Terminal.TextWidth.Of(text[at].ToString());
                }
            }
        }

        private void Escape(char final, int count)
        {
            (Row, Column) = final switch { 'A' => (Row - count, Column), 'C' => (Row, Column + count), _ => (Row, Column) };
            if (final != 'J')
                return;
            Assert.Equal(0, Column);
            _rows.RemoveRange(Row + 1, _rows.Count - Row - 1);
            _rows[Row].Clear();
        }
    }
}
