using Llama2.Tests.Shared;

namespace Llama2.Tests.Simple.Generation;

public sealed class BatchTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(0.8f)]
    public void Sequences_in_a_batch_get_the_tokens_that_each_gets_alone(float temperature)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
        int[][] prompts = [[1, 300, 7], [9], [1, 400, 8, 10, 11, 12]];
        Batch batch = new(transformer);
        Sequence[] together = [.. prompts.Select(New)];
        batch.Add(together[0]);
        batch.Step();
        batch.Add(together[1]); // one that joins later
        batch.Add(together[2]);
        while (batch.Count > 0)
            batch.Step();
        for (int i = 0; i < prompts.Length; i++)
        {
            Sequence alone = New(prompts[i], i);
            foreach (string _ in batch.Run(alone, TestContext.Current.CancellationToken))
                continue;
            Assert.Equal(alone.Tokens, together[i].Tokens);
            Assert.Equal(alone.Sampler.RandomState, together[i].Sampler.RandomState);
            Assert.Equal(alone.Cache.Key(0, alone.Fed - 1), together[i].Cache.Key(0, alone.Fed - 1));
        }

        Sequence New(int[] prompt, int i)
        {
            Sequence sequence = new(checkpoint.Config, new Sampler(checkpoint.Config.VocabSize, temperature, 0.9f, 1 + (ulong)i));
            sequence.MaxNewTokens = 12 + i;
            sequence.Append(prompt);
            return sequence;
        }
    }

    [Fact]
    public void A_sequence_without_tokens_to_feed_is_refused()
    {
        FakeModel model = FakeModel.Fixed(1, 2, 3);
        Assert.Throws<ArgumentOutOfRangeException>(() => new Batch(model).Add(new Sequence(model.Config, new Sampler(3, 0, 0, 1))));
    }

    [Fact]
    public void A_step_of_no_sequences_does_nothing()
    {
        FakeModel model = FakeModel.Fixed(1, 2, 3);
        new Batch(model).Step();
        Assert.Equal([0], model.Calls);
    }
}
