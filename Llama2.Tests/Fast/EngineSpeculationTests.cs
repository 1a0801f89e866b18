using Llama2.Fast;
using Llama2.Fast.Engine;
using Llama2.Simple.Generation.Speculation;
using static Llama2.Tests.Fast.CountingRequests;

namespace Llama2.Tests.Fast;

/// <summary>An engine whose steps take several tokens of an answer: each token comes as it would alone.</summary>
public sealed class EngineSpeculationTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    private static GenerationRequest Tale(int i)
    {
        string[] prompts = ["Once upon a time", "One day", "Tina had a big red ball. One day, Tina"];
        int[] prompt = Tales.Encode(prompts[i % 3]);
        return new(prompt, new FastSampler(512, i % 2 == 0 ? 0 : 0.9f, 0.9f, 1 + (ulong)i))
        {
            MaxNewTokens = 20 + 3 * i,
            Text = new(Tales, prompt[^1], i % 5 == 0 ? ["the", "ing"] : []),
            Filters = i % 4 == 1 ? [LogitFilters.RepeatPenalty(1.3f, 20), LogitFilters.TopK(30)]
                : i % 4 == 3 ? [LogitFilters.CountPenalties(1, 1, prompt.Length), LogitFilters.MinP(0.02f)] : [],
            TopLogProbs = i % 3 == 0 ? 2 : null,
            PromptLogProbs = i % 6 == 0,
            IsEnd = Tales.IsEnd,
        };
    }

    private static async Task<string[]> Tell(Generation generation)
    {
        List<string> tokens = [];
        await foreach ((int token, string text, TextEnd? end, TokenLogProbs? logProbs) in generation.ReadAllAsync(Cancellation))
            tokens.Add($"{token} '{text}' {end} {Words(logProbs)}");
        return [.. generation.PromptLogProbs.Select(Words), .. tokens, $"{generation.End} {generation.SampledTokens}"];

        static string Words(TokenLogProbs? one) => one is null ? "" : $"{one.Token} {one.LogProb:R} {string.Join(' ', one.Top)}";
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(5, 3)]
    [InlineData(30, 16)]
    public async Task Tokens_their_texts_and_logarithms_are_those_without_drafts(int pods, int drafts)
    {
        const int Requests = 30;
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using FastTransformer transformer = new(checkpoint.Config, checkpoint.Weights, threads: 2);
        Weights int8 = WeightQuantizer.Quantize(checkpoint.Weights, WeightQuantizer.GroupSizeFor(checkpoint.Config), threads: 1);
        using FastTransformer copy = new(checkpoint.Config, int8, threads: 2);

        List<string[]> expected = [];
        using (GenerationEngine plain = new(transformer, new EngineOptions { Pods = 1, MaxQueue = Requests }))
        {
            foreach (Generation generation in plain.Submit([.. Enumerable.Range(0, Requests).Select(Tale)], Cancellation))
                expected.Add(await Tell(generation));
        }
        SelfDrafter self = new(new Lazy<ITransformer>(copy));
        using GenerationEngine engine = new(transformer, new EngineOptions
        {
            Pods = pods,
            MaxQueue = Requests,
            PromptRows = 5,
            Drafts = new FixedDrafts(drafts),
            NewDrafters = () => [self],
        });
        IReadOnlyList<Generation> all = engine.Submit([.. Enumerable.Range(0, Requests).Select(Tale)], Cancellation);
        for (int i = 0; i < Requests; i++)
            Assert.Equal(expected[i], await Tell(all[i]));
        EngineStatistics statistics = engine.Statistics;
        Assert.Equal(all.Sum(generation => generation.SampledTokens), statistics.GeneratedTokens);
        Assert.InRange(statistics.AcceptedTokens, statistics.GeneratedTokens / 2, statistics.DraftedTokens);
    }

    /// <summary>Drafts what the counting model says, but for every fifth number.</summary>
    private sealed class Counter : IDrafter
    {
        public void Draft(ReadOnlySpan<Drafts> asked)
        {
            foreach (Drafts text in asked)
            {
                for (int next = text.Sequence.Tokens[^1] + 1; text.Count < text.Wanted; next++)
                    text.Add(next % 5 == 0 ? 0 : next % CountingModel.Vocab);
            }
        }
    }

    [Fact]
    public async Task A_request_that_is_cancelled_while_its_drafts_are_verified_is_gone_after_that_step_and_disturbs_nobody()
    {
        using CancellationTokenSource leaving = new();
        List<int[]> steps = []; // of each pass, the first tokens of its caches
        using CountingModel model = new(rows =>
        {
            steps.Add([.. rows.GroupBy(row => row.Cache).Select(own => own.First().Token)]);
            if (rows.Any(row => row.Token == 113)) // within the drafts of the one that leaves
                leaving.Cancel();
        });
        using GenerationEngine engine = new(model, new EngineOptions
        {
            Pods = 2,
            Drafts = new FixedDrafts(4),
            NewDrafters = static () => [new Counter()],
        });
        IReadOnlyList<Generation> all = [engine.Submit(Count(10, 60), Cancellation), engine.Submit(Count(100, 100), leaving.Token)];
        int[] left = await Read(all[1]);
        Assert.Equal(Enumerable.Range(101, left.Length), left);
        Assert.InRange(left.Length, 13, 17); // what that step gave, and no more
        Assert.Equal(TextEnd.Cancelled, all[1].End);
        Assert.Equal(Enumerable.Range(11, 60), await Read(all[0]));
        Assert.DoesNotContain(steps, step => step.Any(token => token is > 115 and < 200));
        Assert.All(engine.Pods, pod => Assert.False(pod.IsBusy));
        Assert.InRange(steps.Count(step => step.Contains(10) || step.Any(token => token < 71)), 1, 30); // 60 tokens in fewer steps
    }

    [Fact]
    public async Task A_filter_that_throws_among_drafts_fails_its_own_request()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model, new EngineOptions
        {
            Drafts = new FixedDrafts(4),
            NewDrafters = static () => [new Counter()],
        });
        GenerationRequest bad = Count(10, 50) with { Filters = [(_, tokens) => ThrowAt(tokens[^1])] };
        IReadOnlyList<Generation> all = engine.Submit([bad, Count(50, 40)], Cancellation);
        await Assert.ThrowsAsync<RequestFailedException>(() => Read(all[0]));
        Assert.Equal(Enumerable.Range(51, 40), await Read(all[1]));

        static void ThrowAt(int token)
        {
            if (token == 23)
                throw new FormatException("filter");
        }
    }
}
