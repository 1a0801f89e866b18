namespace Llama2.Tests.Simple.Text;

public sealed class StoppableTextTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    [Fact]
    public void A_prompt_may_hold_a_stop_string_and_what_follows_may_not()
    {
        StoppableText text = new(Tales, Tokenizer.BosId, ["dog"]);
        Assert.Equal("the dog and", string.Concat(Tales.Encode("the dog and", bos: false).Select(text.AppendPrompt)));
        Assert.Equal(0, text.TokensShown); // those are of the answer
        Assert.Equal(" the ", string.Concat(Tales.Encode("the dog", bos: false).Select(text.Append)));
        Assert.True(text.Stopped);
        Assert.Equal(Tales.Encode("the ", bos: false).Length, text.TokensShown);
    }

    [Fact]
    public void Characters_cut_by_tokens_come_whole_and_control_characters_not_at_all()
    {
        StoppableText text = new(Tales, Tokenizer.BosId, []);
        int[] ids = Tales.Encode("é\u001b[2J", bos: false, blank: false);
        Assert.Equal("é[2J", string.Concat(ids.Select(text.AppendPrompt)));
        Assert.Equal("", text.Append(Tales.EncodeBytes("é"u8)[0]));
        Assert.Equal("\uFFFD", text.Flush());
    }
}
