using Llama2.Cli.Chat;

namespace Llama2.Tests.Cli;

public sealed class WordWrapTests
{
    [Theory]
    [InlineData("one two three", "one two\nthree")]
    [InlineData("one two th", "one two th")]
    [InlineData("one two thr e", "one two\nthr e")]
    [InlineData("1234567890 1", "1234567890\n1")]               // the blank at the edge is the break
    [InlineData("123456789012", "1234567890\n12")]
    [InlineData("a 123456789012", "a\n1234567890\n12")]
    [InlineData("日本語日本語", "日本語日本\n語")]
    [InlineData("one\n\ntwo", "one\n\ntwo")]
    [InlineData("🙂🙂 🙂🙂🙂", "🙂🙂 🙂🙂\n🙂")]
    public void Lines_break_at_blanks_however_the_text_comes(string text, string lines)
    {
        Assert.Equal(lines, Shown(new WordWrap(10).Add(text)));
        WordWrap wrap = new(10);
        Assert.Equal(lines, Shown(string.Concat(text.EnumerateRunes().Select(rune => wrap.Add(rune.ToString())))));
    }

    [Fact]
    public void A_note_in_between_begins_a_new_line()
    {
        WordWrap wrap = new(10);
        wrap.Add("12345678");
        Assert.Equal("90 12345", wrap.Add("90 12345", atStart: true));
    }

    [Theory]
    [InlineData("one two three", "one two\nthree")]
    [InlineData("one two  th", "one two\nth")]
    [InlineData("  one two three", "  one two\n  three")]
    [InlineData("123456789012 34", "123456789012\n34")]
    [InlineData("  123456789012", "  123456789012")]
    [InlineData("日本語 日本語", "日本語\n日本語")]
    [InlineData("one\n\ntwo three four", "one\n\ntwo three\nfour")]
    public void Lines_that_are_whole_break_at_blanks(string text, string lines) =>
        Assert.Equal(lines, Llama2.Cli.Terminal.TextWidth.Wrap(text, 10));

    // Carries out the one sequence that takes a word back.
    private static string Shown(string text)
    {
        while (text.IndexOf('\r') is >= 0 and var at)
        {
            int line = text.LastIndexOf('\n', at) + 1, end = text.IndexOf("\e[K", at, StringComparison.Ordinal);
            int column = int.Parse(text[(at + 3)..(end - 1)], null);
            string kept = text[line..(line + column)];
            Assert.Equal(column, Llama2.Cli.Terminal.TextWidth.Of(kept));
            text = text[..line] + kept.TrimEnd() + text[(end + 3)..];
        }
        return text;
    }
}
