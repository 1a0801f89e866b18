using Llama2.Tests.Shared;

namespace Llama2.Tests.Simple.Generation;

/// <summary>One sequence: the tokens it gets, where and why it ends, and the logits that are seen.</summary>
public sealed class SequenceTests
{
    private const int Vocab = 20;

    private static Sequence New(FakeModel model, int[] prompt, int maxNewTokens = int.MaxValue)
    {
        Sequence sequence = new(model.Config, new Sampler(model.Config.VocabSize, 0, 0, 1)) { IsEnd = token => token == Tokenizer.BosId };
        sequence.MaxNewTokens = maxNewTokens;
        sequence.Append(prompt);
        return sequence;
    }

    private static void Run(FakeModel model, Sequence sequence, CancellationToken cancellation = default)
    {
        foreach (string _ in new Batch(model).Run(sequence, cancellation))
            continue;
    }

    [Fact]
    public void A_token_that_ends_a_text_does_not_belong_to_it()
    {
        FakeModel model = FakeModel.Scripted(Vocab, 5, 6, Tokenizer.BosId);
        Sequence sequence = New(model, [1, 3, 4], 1);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([1, 3, 4, 5], sequence.Tokens);
        sequence = New(model, [1, 3, 4]);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([1, 3, 4, 6], sequence.Tokens);
        Assert.Equal((TextEnd.Model, 2, Tokenizer.BosId, 4), (sequence.End, sequence.Sampled, sequence.LastSampled, sequence.Fed));
    }

    [Fact]
    public void The_last_of_its_new_tokens_belongs_to_it_and_is_not_fed()
    {
        FakeModel model = FakeModel.Scripted(Vocab, 5, 6, 7);
        Sequence sequence = New(model, [1, 3, 4], 2);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([1, 3, 4, 5, 6], sequence.Tokens);
        Assert.Equal((TextEnd.Length, 2, 4), (sequence.End, sequence.Sampled, sequence.Fed));
    }

    [Fact]
    public void Without_new_tokens_the_prompt_is_fed_and_nothing_is_sampled()
    {
        FakeModel model = FakeModel.Scripted(Vocab, 5);
        Sequence sequence = New(model, [1, 3, 4], 0);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([1, 3, 4], sequence.Tokens);
        Assert.Equal((TextEnd.Length, 0, 3), (sequence.End, sequence.Sampled, sequence.Fed));
    }

    [Fact]
    public void A_sequence_with_a_cache_is_fed_the_rest()
    {
        FakeModel model = FakeModel.Scripted(Vocab, 5, Tokenizer.BosId);
        Sequence first = New(model, [1, 3], 1);
        Run(model, first, TestContext.Current.CancellationToken);
        Sequence second = new(model.Config, first.Sampler, first.Cache, [1, 3, 4]) { IsEnd = token => token == Tokenizer.BosId };
        Run(model, second, TestContext.Current.CancellationToken);
        Assert.Equal([2, 1], model.Calls);
        Assert.Equal([1, 3, 4], second.Tokens);
        Assert.Throws<ArgumentException>(() => new Sequence(model.Config, first.Sampler, first.Cache, [1]));
    }

    [Fact]
    public void Cancelling_ends_it_after_the_current_token_and_a_reader_that_stops_cancels_it()
    {
        using CancellationTokenSource source = new();
        FakeModel model = FakeModel.Scripted(Vocab, 5, 6, 7);
        Batch batch = new(model);
        Sequence sequence = New(model, [1, 3]), abandoned = New(model, [1, 3]), never = New(model, [1, 3]);
        foreach (string _ in batch.Run(sequence, source.Token))
        {
            if (sequence.LastSampled == 6)
                source.Cancel();
        }
        Assert.Equal([1, 3, 5, 6], sequence.Tokens);
        Assert.Equal((TextEnd.Cancelled, 2, 3), (sequence.End, sequence.Sampled, sequence.Fed));

        foreach (string _ in batch.Run(abandoned, CancellationToken.None))
            break;
        Assert.Equal([1, 3, 7], abandoned.Tokens);
        Assert.Equal((TextEnd.Cancelled, 0), (abandoned.End, batch.Count));

        Run(model, never, source.Token);
        Assert.Equal((TextEnd.Cancelled, 0, 0), (never.End, never.Sampled, never.Fed));
    }

    [Fact]
    public void A_prompt_is_fed_in_the_model_s_portions_and_only_its_last_token_asks_for_a_result()
    {
        FakeModel model = new(6, i => [i, 0, 0, 0, 0, 0], preferredRows: 3);
        Sequence sequence = New(model, [1, 2, 3, 4, 5, 0, 1], 1);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([3, 3, 1], model.Calls);
        Assert.Equal(0, sequence.LastSampled);
        Assert.Equal(7, sequence.Fed);
    }

    [Fact]
    public void A_visitor_sees_the_logits_after_every_token_before_filters()
    {
        FakeModel model = new(6, i => [i, 0, 0, 0, 0, 0], preferredRows: 3);
        List<float> seen = [];
        Sequence sequence = new(model.Config, new Sampler(6, 0, 0, 1))
        {
            OnLogits = logits =>
            {
                Assert.Equal(6, logits.Length);
                seen.Add(logits[0]);
            },
            Filters = [LogitFilters.Without(0)],
        };
        sequence.MaxNewTokens = 2;
        sequence.Append([1, 2, 3, 4]);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([0, 1, 2, 3, 4], seen);
        Assert.Equal([1, 2, 3, 4, 1, 1], sequence.Tokens);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Logits_are_kept_only_on_request_and_before_filters(bool keeps)
    {
        FakeModel model = FakeModel.Fixed(1, 5, 3);
        Sequence sequence = new(model.Config, new Sampler(3, 0, 0, 1)) { KeepsLogits = keeps, Filters = [LogitFilters.Without(1)] };
        sequence.MaxNewTokens = 1;
        sequence.Append([0]);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal(2, sequence.LastSampled);
        Assert.Equal(keeps ? [1, 5, 3] : [], sequence.Logits);
    }

    [Fact]
    public void A_full_context_ends_it_with_the_last_token_unless_that_must_be_remembered()
    {
        FakeModel model = new(3, _ => [0, 0, 1], seqLen: 4);
        Sequence sequence = New(model, [0]);
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([0, 2, 2, 2, 2], sequence.Tokens);
        Assert.Equal((TextEnd.Context, 4), (sequence.End, sequence.Fed));

        sequence = New(model, [0]);
        sequence.MakeRoom = () => false;
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([0, 2, 2, 2], sequence.Tokens);
        Assert.Equal((TextEnd.Context, 3), (sequence.End, sequence.Sampled));

        sequence = New(model, [0], 5);
        sequence.MakeRoom = () =>
        {
            sequence.Replace([1]);
            return true;
        };
        Run(model, sequence, TestContext.Current.CancellationToken);
        Assert.Equal([1, 2, 2], sequence.Tokens); // the cache was full at the fourth token
        Assert.Equal((TextEnd.Length, 5), (sequence.End, sequence.Sampled));
        Assert.Throws<ContextFullException>(() => sequence.Append([1, 1]));
    }
}
