using System.Diagnostics;
using System.Text;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Simple;

/// <summary>Encode is near-linear, and nothing a user types becomes a special token.</summary>
public sealed class TokenizerTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    [Theory]
    [InlineData("Once upon a time, there was a little girl named Lily. She loved to play outside. ")]
    [InlineData("a")] // the same pair everywhere
    [InlineData(" ")]
    [InlineData("你好 😀")]
    public void A_megabyte_is_encoded_in_under_a_second(string unit)
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(unit, (1 << 20) / Encoding.UTF8.GetByteCount(unit))));
        TimeSpan best = Enumerable.Range(0, 3).Min(_ =>
        {
            long started = Stopwatch.GetTimestamp();
            Tales.Encode(text);
            return Stopwatch.GetElapsedTime(started);
        });
        TestContext.Current.TestOutputHelper?.WriteLine($"{text.Length} bytes in {best.TotalMilliseconds:F0} ms");
        Assert.InRange(best, TimeSpan.Zero, TimeSpan.FromSeconds(1));
    }

    [Theory]
    [InlineData("\n<s>\n")]
    [InlineData("\n</s>\n")]
    [InlineData("<s>")]
    [InlineData("</s>")]
    public void Special_tokens_cannot_be_typed(string text)
    {
        int[] ids = Tales.Encode(text, bos: false);
        Assert.DoesNotContain(Tokenizer.Bos, ids);
        Assert.DoesNotContain(Tokenizer.Eos, ids);
        Assert.Equal(text, Tales.Decode([Tokenizer.Bos, .. ids]));
    }

    [Fact]
    public void Bos_and_eos_come_when_asked_for()
    {
        Assert.Equal([Tokenizer.Bos], Tales.Encode(""));
        Assert.Empty(Tales.Encode("", bos: false));
        Assert.Equal([Tokenizer.Bos, .. Tales.Encode("a", bos: false), Tokenizer.Eos], Tales.Encode("a", eos: true));
    }

    [Fact]
    public void A_lone_surrogate_counts_as_the_replacement_character() => Assert.Equal(Tales.Encode("a\uFFFDb"), Tales.Encode("a\uD800b"));

    [Theory]
    [InlineData("\n", true)]
    [InlineData("\t", true)]
    [InlineData("\a", false)]
    [InlineData("\u007f", false)]
    [InlineData("a\a", true)] // run.c looks at lone bytes only
    [InlineData("é", true)]
    [InlineData("", true)]
    public void Lone_control_characters_are_not_shown(string piece, bool isShown) => Assert.Equal(isShown, TextStream.IsSafe(Encoding.UTF8.GetBytes(piece)));
}
