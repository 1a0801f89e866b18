using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Simple;

public sealed class StoppableTextTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    [Fact]
    public void A_prompt_may_hold_a_stop_string_and_what_follows_may_not()
    {
        StoppableText text = new(Tales, Tokenizer.Bos, ["dog"]);
        Assert.Equal("the dog and", string.Concat(Tales.Encode("the dog and", bos: false).Select(text.AppendPrompt)));
        Assert.Equal((0, 0), (text.BytesSaid, text.BytesShown)); // those are of the answer
        Assert.Equal(" the ", string.Concat(Tales.Encode("the dog", bos: false).Select(text.Append)));
        Assert.True(text.Stopped);
        Assert.Equal((8, 5), (text.BytesSaid, text.BytesShown));
    }

    [Fact]
    public void Characters_cut_by_tokens_come_whole_and_control_characters_not_at_all()
    {
        StoppableText text = new(Tales, Tokenizer.Bos, []);
        int[] ids = Tales.Encode("é\u001b[2J", bos: false, blank: false);
        Assert.Equal("é[2J", string.Concat(ids.Select(text.AppendPrompt)));
        Assert.Equal("", text.Append(Tales.EncodeBytes("é"u8)[0]));
        Assert.Equal("\uFFFD", text.Flush());
    }
}
