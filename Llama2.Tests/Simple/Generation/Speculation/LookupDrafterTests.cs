using Llama2.Simple.Generation.Speculation;

namespace Llama2.Tests.Simple.Generation.Speculation;

public sealed class LookupDrafterTests
{
    private static readonly Config Shape = new(2, 2, 1, 1, 1, 100, 1000);

    private static Sequence NewSequence(params int[] tokens) => new(Shape, new Sampler(100, 0, 0, 1), tokens: tokens);

    private static int[] Drafted(LookupDrafter drafter, Sequence sequence, int most)
    {
        Drafts drafts = new(sequence, DraftPolicy.MaxDrafts) { Wanted = most };
        drafter.Draft([drafts]);
        return [.. drafts.Tokens];
    }

    [Fact]
    public void It_drafts_what_followed_the_last_three_tokens_the_last_time()
    {
        Assert.Equal([5, 6], Drafted(new(), NewSequence(1, 2, 3, 4, 7, 2, 3, 4, 5, 6, 2, 3, 4), 2));
        Assert.Equal([], Drafted(new(), NewSequence(1, 2, 3, 4, 5, 9, 3, 4), 2));
        Assert.Equal([], Drafted(new(), NewSequence(1, 1), 2));
        Assert.Equal([], Drafted(new(), NewSequence(1, 2, 3, 1, 2, 3), 0));
    }

    [Fact]
    public void Where_the_text_ends_it_goes_on_with_its_own_drafts()
    {
        Assert.Equal([4, 2, 3, 4, 2, 3, 4], Drafted(new(), NewSequence(4, 2, 3, 4, 2, 3), 7));
        Assert.Equal([1, 1, 1], Drafted(new(), NewSequence(1, 1, 1, 1), 3));
    }

    [Fact]
    public void It_goes_on_with_the_text_and_notices_what_was_taken_back_or_replaced()
    {
        Random random = new(3);
        LookupDrafter drafter = new();
        Sequence sequence = NewSequence();
        for (int i = 0; i < 2000; i++)
        {
            if (random.Next(20) == 0)
                sequence.Truncate(random.Next(sequence.Tokens.Length + 1));
            if (random.Next(100) == 0 || sequence.Tokens.Length > 900)
                sequence.Replace([.. Enumerable.Range(0, random.Next(60)).Select(_ => random.Next(3))]);
            sequence.Append([.. Enumerable.Range(0, 1 + random.Next(4)).Select(_ => random.Next(3))]);
            int[] drafts = Drafted(drafter, sequence, 5);
            if (drafts.Length == 0)
                continue;
            int[] tokens = [.. sequence.Tokens], all = [.. tokens, .. drafts];
            Assert.Contains(Enumerable.Range(3, tokens.Length - 3), end => // some earlier place of the last three tokens goes on so
                tokens.AsSpan(end - 3, 3).SequenceEqual(tokens.AsSpan(tokens.Length - 3)) && all.AsSpan(end, 5).SequenceEqual(drafts));
        }
    }
}
