using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Llama2.Tests.Simple.Text;

public sealed class StopMatcherTests
{
    private static (string Text, string? Stop) Run(string[] stops, IEnumerable<byte[]> pieces)
    {
        StopMatcher matcher = new(stops);
        List<byte> text = [];
        foreach (byte[] piece in pieces)
            text.AddRange(matcher.Append(piece));
        text.AddRange(matcher.Flush());
        return (Encoding.UTF8.GetString([.. text]), matcher.Stop);
    }

    private static IEnumerable<byte[]> Bytes(string text) => Encoding.UTF8.GetBytes(text).Select(value => new[] { value });

    [Theory]
    [InlineData("one two", "one two", null, "three")]
    [InlineData("one two three four", "one two ", "three", "three", "four")]
    [InlineData("aab", "a", "ab", "ab")]
    [InlineData("abc", "a", "b", "abc", "b")]
    [InlineData("abc", "", "abc", "abc", "c")]
    [InlineData("the end of it", "the ", "end", "end")]
    [InlineData("schöne Grüße!", "schöne Gr", "üß", "üß")]
    [InlineData("日本語", "日", "本", "本")]
    [InlineData("half a sto", "half a sto", null, "stop")]
    [InlineData("no stops", "no stops", null)]
    public void A_text_ends_before_the_first_stop_string_that_is_complete(string text, string shown, string? stop, params string[] stops)
    {
        Assert.Equal((shown, stop), Run(stops, Bytes(text)));
        Assert.Equal((shown, stop), Run(stops, [Encoding.UTF8.GetBytes(text)]));
    }

    [Fact]
    public void How_a_text_is_cut_into_tokens_makes_no_difference()
    {
        Gen<string> word = Gen.Elements('a', 'b', 'c', 'ü', '本').NonEmptyListOf().Select(chars => string.Concat(chars));
        Gen<(string, string[], int[])> cases =
            from text in word.Resize(40)
            from stops in word.Resize(4).ArrayOf(3)
            from cuts in Gen.Choose(1, 5).ArrayOf(200)
            select (text, stops, cuts);
        Prop.ForAll(cases.ToArbitrary(), c =>
        {
            (string text, string[] stops, int[] cuts) = c;
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            List<byte[]> pieces = [];
            for (int i = 0; i < bytes.Length; i += cuts[pieces.Count - 1])
                pieces.Add(bytes[i..Math.Min(bytes.Length, i + cuts[pieces.Count])]);
            Assert.Equal(Naive(bytes, stops), Run(stops, pieces));
        }).QuickCheckThrowOnFailure();
    }

    /// <summary>The shortest beginning of the text that ends with a stop string, without the longest one it ends with.</summary>
    private static (string, string?) Naive(byte[] bytes, string[] stops)
    {
        for (int end = 1; end <= bytes.Length; end++)
        {
            byte[][] found = [.. stops.Select(Encoding.UTF8.GetBytes).Where(stop => bytes.AsSpan(0, end).EndsWith(stop))];
            if (found.MaxBy(stop => stop.Length) is { } longest)
                return (Encoding.UTF8.GetString(bytes, 0, end - longest.Length), Encoding.UTF8.GetString(longest));
        }
        return (Encoding.UTF8.GetString(bytes), null);
    }

    [Fact]
    public void What_cannot_begin_a_stop_string_comes_out_at_once()
    {
        StopMatcher matcher = new(["stop"]);
        Assert.Equal("say "u8.ToArray(), matcher.Append("say s"u8));
        Assert.Equal([], matcher.Append("to"u8));
        Assert.Equal("store"u8.ToArray(), matcher.Append("re"u8));
        Assert.Equal([], matcher.Append("stop"u8));
        Assert.Equal([], matcher.Append("and on"u8));
        Assert.True(matcher.Stopped);
    }

    [Fact]
    public void An_empty_stop_string_is_refused() => Assert.Throws<ArgumentException>(() => new StopMatcher(["a", ""]));
}
