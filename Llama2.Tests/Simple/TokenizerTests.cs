using System.Text;

namespace Llama2.Tests.Simple;

public sealed class TokenizerTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    [Theory]
    [InlineData("\n<s>\n")]
    [InlineData("\n</s>\n")]
    [InlineData("<s>")]
    [InlineData("</s>")]
    public void Special_tokens_cannot_be_typed(string text)
    {
        int[] ids = Tales.Encode(text, bos: false);
        Assert.DoesNotContain(Tokenizer.BosId, ids);
        Assert.DoesNotContain(Tokenizer.EosId, ids);
        Assert.Equal(text, Tales.Decode([Tokenizer.BosId, .. ids]));
    }

    [Fact]
    public void Bos_and_eos_come_when_asked_for()
    {
        Assert.Equal([Tokenizer.BosId], Tales.Encode(""));
        Assert.Empty(Tales.Encode("", bos: false));
        Assert.Equal([Tokenizer.BosId, .. Tales.Encode("a", bos: false), Tokenizer.EosId], Tales.Encode("a", eos: true));
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
    public void Lone_control_characters_are_not_shown(string piece, bool isShown) =>
        Assert.Equal(isShown, TextStream.IsSafe(Encoding.UTF8.GetBytes(piece)));
}
