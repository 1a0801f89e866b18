using Llama2.Simple;

namespace Llama2.Tests.Simple;

/// <summary>The generation loop: what it returns, where it ends, and what it counted.</summary>
public sealed class GeneratorTests
{
    private const int Vocab = 20;

    /// <summary>A session whose model says these tokens, one after each forward pass.</summary>
    private static Session Saying(params int[] tokens) => new(new ScriptedModel(tokens, Vocab), new Sampler(Vocab, 0, 0, 1));

    private static (int Prompt, int Fed, int Generated, int? Pending) Counts(Generator generator) =>
        (generator.PromptTokens, generator.FedTokens, generator.GeneratedTokens, generator.Pending);

    [Fact]
    public void The_rest_of_the_prompt_comes_first_and_BOS_ends_the_text_without_being_returned()
    {
        Session session = Saying(5, 6, Tokenizer.Bos);
        Generator generator = new(session);
        Assert.Equal([3, 4, 5, 6], generator.Generate([1, 3, 4], steps: 100, TestContext.Current.CancellationToken));
        Assert.Equal((3, 5, 3, Tokenizer.Bos), Counts(generator));
        Assert.Equal([1, 3, 4, 5, 6], session.Tokens.ToArray());
    }

    [Fact]
    public void The_steps_end_it_with_the_last_token_returned_and_not_fed()
    {
        Session session = Saying(5, 6, 7);
        Generator generator = new(session);
        Assert.Equal([3, 4, 5, 6], generator.Generate([1, 3, 4], steps: 4, TestContext.Current.CancellationToken));
        Assert.Equal((3, 4, 2, 6), Counts(generator));
        Assert.Equal([1, 3, 4, 5], session.Tokens.ToArray());
    }

    [Fact]
    public void A_prompt_longer_than_the_steps_is_cut_and_nothing_is_sampled()
    {
        Session session = Saying(5);
        Generator generator = new(session);
        Assert.Equal([3, 4, 8], generator.Generate([1, 3, 4, 8, 9], steps: 3, TestContext.Current.CancellationToken));
        Assert.Equal((3, 3, 0, null), Counts(generator));
        Assert.Equal([1, 3, 4], session.Tokens.ToArray());
    }

    [Fact]
    public void A_session_with_the_beginning_of_the_prompt_is_fed_the_rest()
    {
        Session session = Saying(5, 6, Tokenizer.Bos);
        session.Feed([1, 3], TestContext.Current.CancellationToken);
        Generator generator = new(session);
        Assert.Equal([3, 4, 6], generator.Generate([1, 3, 4], steps: 100, TestContext.Current.CancellationToken));
        Assert.Equal((1, 2, 2, Tokenizer.Bos), Counts(generator));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Generator(session).Generate([1, 3, 4, 6], 100).Count());
        Assert.Throws<ArgumentOutOfRangeException>(() => new Generator(session).Generate([], 100).Count());
    }

    [Fact]
    public void Cancelling_ends_it_after_the_current_token()
    {
        using CancellationTokenSource source = new();
        Session session = Saying(5, 6, 7);
        Generator generator = new(session);
        List<int> returned = [];
        foreach (int token in generator.Generate([1, 3], steps: 100, source.Token))
        {
            returned.Add(token);
            if (token == 6)
                source.Cancel();
        }
        Assert.Equal([3, 5, 6], returned);
        Assert.Equal((2, 3, 2, 6), Counts(generator));
        Assert.Equal([1, 3, 5], session.Tokens.ToArray());

        Generator never = new(Saying(5));
        Assert.Equal([3], never.Generate([1, 3], steps: 100, source.Token));
        Assert.Equal((2, 0, 0, null), Counts(never));
    }

    /// <summary>Each forward pass sleeps, so that no time is too short to be told from another.</summary>
    [Theory]
    [InlineData(1)] // run.c's way: the time of the first token does not count
    [InlineData(4)]
    public void Times_are_those_of_the_prompt_the_first_token_and_the_others(int promptTokens)
    {
        const int Fed = 9;
        TimeSpan nap = TimeSpan.FromMilliseconds(5), almost = 0.8 * nap;
        int[] script = [.. Enumerable.Repeat(5, Fed - 1), Tokenizer.Bos];
        Generator generator = new(new Session(new ScriptedModel(script, Vocab), new Sampler(Vocab, 0, 0, 1)) { OnLogits = _ => Thread.Sleep(nap) });
        foreach (int _ in generator.Generate([.. Enumerable.Range(1, promptTokens)], 100, TestContext.Current.CancellationToken))
            continue;

        Assert.Equal(Fed, generator.FedTokens);
        Assert.True(generator.PromptTime >= promptTokens * almost, $"prompt: {generator.PromptTime}");
        Assert.True(generator.TimeToFirstToken >= generator.PromptTime, $"first token: {generator.TimeToFirstToken}");
        Assert.True(generator.GenerationTime >= (Fed - promptTokens) * almost, $"generation: {generator.GenerationTime}");
        TimeSpan counted = generator.TimeToFirstToken + generator.GenerationTime - (promptTokens == 1 ? generator.PromptTime : TimeSpan.Zero);
        Assert.Equal(1, generator.AchievedTokensPerSecond * counted.TotalSeconds / (Fed - 1), 1e-3);
    }
}
