using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Simple;

public sealed class FeedTogetherTests
{
    [Fact]
    public void Sessions_fed_together_end_up_as_if_each_had_been_fed_alone()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
        int[][][] feeds = [[[1, 300, 7], [1], [1, 400]], [[9], [8, 10, 11, 12], [13]]];
        Session[] together = [New(), New(), New()], alone = [New(), New(), New()];
        foreach (int[][] feed in feeds)
        {
            Session.FeedTogether([.. together.Zip(feed)]);
            for (int i = 0; i < feed.Length; i++)
            {
                alone[i].Feed(feed[i]);
                Assert.Equal(alone[i].Tokens, together[i].Tokens);
                Assert.Equal(alone[i].Logits, together[i].Logits);
            }
        }

        Session full = New();
        full.Feed(Enumerable.Repeat(300, checkpoint.Config.SeqLen).ToArray());
        Assert.Throws<ContextFullException>(() => Session.FeedTogether([(together[0], [5]), (full, [5])]));
        Assert.Equal(alone[0].Tokens, together[0].Tokens);
        Assert.Equal(alone[0].Cache.Length, together[0].Cache.Length);

        Session New() => new(transformer, new Sampler(checkpoint.Config.VocabSize, 1, 0.9f, 1));
    }

    [Fact]
    public void A_session_goes_on_from_a_cache_and_its_tokens_and_refuses_others()
    {
        using FixedLogits model = new([1, 2, 3]);
        Session first = new(model, new Sampler(3, 0, 0, 1));
        first.Feed([1, 2]);
        Session second = new(model, first.Sampler, first.Cache, [1, 2]);
        second.Feed([0]);
        Assert.Equal([1, 2, 0], second.Tokens.ToArray());
        Assert.Throws<ArgumentException>(() => new Session(model, first.Sampler, first.Cache, [1, 2]));
    }
}
