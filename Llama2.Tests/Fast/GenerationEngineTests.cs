using System.Collections.Concurrent;
using Llama2.Fast;
using Llama2.Fast.Engine;
using static Llama2.Tests.Fast.CountingRequests;

namespace Llama2.Tests.Fast;

/// <summary>Many callers and one model: what each gets is what it would get alone.</summary>
public sealed class GenerationEngineTests
{
    [Theory]
    [InlineData(1, 0, null)]
    [InlineData(4, 0, 3)]
    [InlineData(8, 1 << 20, 16)]
    [InlineData(50, 1 << 24, null)]
    public async Task Fifty_requests_get_what_each_gets_alone_whatever_is_in_the_caches(int pods, long cacheBytes, int? promptRows)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        ITokenizer tokenizer = new FastTokenizer(TokenizerFile.Open(Repository.Weights("tok512-tales.bin")));
        using FastTransformer transformer = new(checkpoint.Config, checkpoint.Weights);
        string[] prompts = ["Once upon a time", "Once upon a day there was a cat", "One day", "Tina had a big red ball. One day, Tina"];
        string[] expected = [.. Enumerable.Range(0, 50).Select(i => Alone(Request(i)))];

        EngineOptions options = new() { Pods = pods, CacheBytes = cacheBytes, PromptRows = promptRows };
        using GenerationEngine engine = new(transformer, options);
        for (int round = 0; round < 2; round++) // the second finds caches
        {
            Generation[] generations = [.. Enumerable.Range(0, 50).Select(i => engine.Submit(Request(i), Cancellation))];
            for (int i = 0; i < 50; i++)
                Assert.Equal(expected[i], await Tell(generations[i]));
        }
        Assert.Equal(cacheBytes > 0, engine.Statistics.CachedTokens > 100);
        Assert.InRange(engine.Statistics.KeptBytes, 0, cacheBytes);

        GenerationRequest Request(int i)
        {
            int[] prompt = tokenizer.Encode(string.Concat(Enumerable.Repeat(prompts[i % 4] + " ", 1 + i / 10)));
            ISampler sampler = new FastSampler(transformer.Config.VocabSize, i % 3 == 0 ? 0 : 0.9f, 0.9f, 1 + (ulong)i);
            return new(prompt, sampler)
            {
                MaxNewTokens = 10 + i,
                Text = new(tokenizer, prompt[^1], i % 5 == 0 ? ["the", "ing"] : []),
                Filters = i % 4 == 1 ? [LogitFilters.RepeatPenalty(1.3f, 20), LogitFilters.TopK(30)] : [],
                TopLogProbs = i % 7 == 0 ? 3 : null,
                CacheKey = i % 11 == 0 ? null : i % 2 == 0 ? "a" : "b",
                IsEnd = tokenizer.IsEnd,
            };
        }

        string Alone(GenerationRequest request)
        {
            Sequence sequence = new(transformer.Config, request.Sampler, tokens: request.Prompt)
            {
                Filters = request.Filters,
                Text = request.Text,
                IsEnd = request.IsEnd,
                MaxNewTokens = request.MaxNewTokens,
                KeepsLogits = request.TopLogProbs is not null,
            };
            string text = string.Concat(new Batch(transformer).Run(sequence, Cancellation));
            return $"{text} {sequence.End} {sequence.Sampled}";
        }

        static async Task<string> Tell(Generation generation)
        {
            string text = "";
            await foreach (GeneratedToken token in generation.ReadAllAsync(Cancellation))
                text += token.Text;
            return $"{text} {generation.End} {generation.SampledTokens}";
        }
    }

    [Fact]
    public async Task A_long_prompt_is_read_in_chunks_beside_the_answers_of_others()
    {
        List<int[]> steps = []; // of each pass, the rows of each cache
        using CountingModel model = new(rows => steps.Add([.. rows.GroupBy(row => row.Cache).Select(own => own.Count())]));
        using GenerationEngine engine = new(model, new EngineOptions { PromptRows = 8, CacheBytes = 0 });
        IReadOnlyList<Generation> all = engine.Submit([Count(100, 30), Count(150, 3, promptLength: 100), Count(40, 2)], Cancellation);
        Assert.Equal(From(101, 30), await Read(all[0]));
        Assert.Equal(From(151, 3), await Read(all[1]));
        Assert.Equal(From(41, 2), await Read(all[2]));
        Assert.All(steps, step => Assert.InRange(step.Sum(), 1, 8 + 2));
        Assert.True(steps.Count(step => step.Length > 1) >= 12, "the prompt took 13 steps, in all of which another went on");
    }

    [Fact]
    public async Task Requests_begin_in_the_order_in_which_they_came_and_a_full_queue_takes_all_or_none()
    {
        using Gate gate = new();
        ConcurrentQueue<int> begun = [];
        using CountingModel model = new(rows =>
        {
            foreach (Row row in rows.Where(row => row.Cache.Length == 0))
                begun.Enqueue(row.Token);
            gate.Pass();
        });
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 1, MaxQueue = 3, CacheBytes = 0 });
        List<Generation> taken = [engine.Submit(Count(10), Cancellation)];
        gate.WaitUntilReached();
        taken.AddRange(engine.Submit([Count(20), Count(30)], Cancellation));
        Assert.Throws<QueueFullException>(() => engine.Submit([Count(40), Count(50)], Cancellation));
        taken.Add(engine.Submit(Count(60), Cancellation));
        Assert.Throws<QueueFullException>(() => engine.Submit(Count(70), Cancellation));
        Assert.Equal((1, 3), (engine.Statistics.Running, engine.Statistics.Waiting));
        gate.Open();
        foreach (Generation generation in taken)
            await Read(generation);
        Assert.Equal([10, 20, 30, 60], begun);
        Assert.Equal((0, 0), (engine.Statistics.Running, engine.Statistics.Waiting));
    }

    [Fact]
    public void The_counts_are_final_when_the_last_token_is_read()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model);
        for (int i = 0; i < 3000; i++)
        {
            Generation generation = engine.Submit(Count(10, 1), Cancellation);
            GeneratedToken token;
            while (!generation.Tokens.TryRead(out token)) // a reader that sleeps would come too late to see less
                continue;
            Assert.Equal((TextEnd.Length, TextEnd.Length, 1), (token.End, generation.End, generation.SampledTokens));
        }
    }

    [Fact]
    public async Task What_a_request_brings_along_fails_for_it_alone()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model);
        GenerationRequest[] bad =
        [
            Count(10) with { Filters = [(_, _) => throw new FormatException("filter")] },
            Count(10) with { IsEnd = _ => throw new FormatException("end") },
            Count(10) with { Sampler = new Sampler(7, 1, 1, 1) }, // for another vocabulary
        ];
        IReadOnlyList<Generation> all = engine.Submit([Count(50), .. bad, Count(70)], Cancellation);
        Assert.Equal(From(51, 5), await Read(all[0]));
        Assert.Equal(From(71, 5), await Read(all[^1]));
        for (int i = 1; i <= bad.Length; i++)
            Assert.NotNull((await Assert.ThrowsAsync<RequestFailedException>(() => Read(all[i]))).InnerException);
        Assert.Null(engine.Refusal);
    }

    [Fact]
    public void A_request_that_cannot_be_computed_is_refused_at_once()
    {
        using CountingModel model = new(seqLen: 10);
        using GenerationEngine engine = new(model);
        Assert.Throws<ContextFullException>(() => engine.Submit(Count(100, promptLength: 11)));
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.Submit(new GenerationRequest([], Greedy)));
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.Submit(new GenerationRequest([CountingModel.Vocab], Greedy)));
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.Submit(new GenerationRequest([-1], Greedy)));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public async Task A_step_that_throws_ends_its_requests_and_the_engine_goes_on_until_it_happens_again_and_again(int max)
    {
        int failing = 0;
        using CountingModel model = new(_ =>
        {
            if (failing-- > 0)
                throw new InvalidOperationException("no memory");
        });
        using GenerationEngine engine = new(model, max == 3 ? new() : new EngineOptions { MaxFailures = max });
        Volatile.Write(ref failing, max - 1);
        for (int i = 2; i < max; i++)
            await Assert.ThrowsAsync<RequestFailedException>(() => Read(engine.Submit(Count(10))));
        Assert.Contains("no memory", (await Assert.ThrowsAsync<RequestFailedException>(() => Read(engine.Submit(Count(10))))).Message,
            StringComparison.Ordinal);
        Assert.Equal(From(11, 5), await Read(engine.Submit(Count(10), Cancellation)));

        Volatile.Write(ref failing, max);
        for (int i = 0; i < max; i++)
            await Assert.ThrowsAsync<RequestFailedException>(() => Read(engine.Submit(Count(10))));
        await engine.Ended;
        string refusal = Assert.Throws<EngineClosedException>(() => engine.Submit(Count(10))).Message;
        Assert.Contains("no memory", refusal, StringComparison.Ordinal);
        Assert.NotNull(engine.Refusal);
    }

    [Fact]
    public async Task Prompts_that_begin_alike_are_read_once_unless_their_keys_differ()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model);
        Assert.Equal(0, await Cached(Count(150, 5, promptLength: 50)));
        Assert.Equal(49, await Cached(Count(150, 5, promptLength: 50)));
        Assert.Equal(50 + 4, await Cached(new([.. Enumerable.Range(101, 60)], Greedy))); // the last token of the answer was not fed
        Assert.Equal(0, await Cached(Count(150, 5, promptLength: 50) with { CacheKey = "another" }));
        Assert.Equal(0, await Cached(Count(150, 5, promptLength: 50) with { CacheKey = null }));

        using GenerationEngine without = new(model, new EngineOptions { CacheBytes = 0 });
        Assert.Equal(0, await Cached(Count(150), without));
        Assert.Equal(0, await Cached(Count(150), without));

        async Task<int> Cached(GenerationRequest request, GenerationEngine? other = null)
        {
            Generation generation = (other ?? engine).Submit(request with { MaxNewTokens = 5 }, Cancellation);
            Assert.Equal(From(request.Prompt[^1] + 1, 5), await Read(generation));
            return generation.CachedTokens;
        }
    }

    [Fact]
    public void The_cache_keeps_within_its_bytes_what_was_used_last()
    {
        Config config = new(2, 2, 1, 1, 1, 300, 256);
        long size = PrefixCache.Size(config, new KvCache(config, 64));
        PrefixCache cache = new(config, 2 * size);
        cache.Add("", [1, 2, 3], Filled(config, 3));
        cache.Add("", [1, 5], Filled(config, 2));
        Assert.Equal((2 * size, 5L), (cache.Bytes, cache.Tokens));
        Assert.Equal(3, cache.Find("", [1, 2, 3, 4]).Common);
        cache.Add("", [7], Filled(config, 1)); // in the place of 1, 5
        Assert.Equal((3, 1, 1), (cache.Find("", [1, 2, 3]).Common, cache.Find("", [1, 5]).Common, cache.Find("", [7]).Common));
        cache.Add("", [7, 8], Filled(config, 2)); // in the place of its beginning
        cache.Add("", [7], Filled(config, 1));    // the same beginning again
        Assert.Equal((2 * size, 5L), (cache.Bytes, cache.Tokens));
        Assert.Equal((null, 0), cache.Find("other", [7]));
        cache.Add("", [9], new KvCache(config, 256)); // too large
        Assert.Equal(2 * size, cache.Bytes);
        cache.Clear();
        Assert.Equal((0L, 0), (cache.Bytes, cache.Find("", [7]).Common));
    }

    [Fact]
    public async Task Closing_lets_requests_end_and_disposing_ends_them()
    {
        using CountingModel model = new();
        GenerationEngine engine = new(model);
        Generation last = engine.Submit(Count(10, 50), Cancellation);
        engine.Close();
        Assert.Throws<EngineClosedException>(() => engine.Submit(Count(10)));
        await engine.Ended;
        Assert.Equal(50, (await Read(last)).Length);
        engine.Dispose();

        using Gate gate = new();
        using CountingModel slow = new(_ => gate.Pass());
        engine = new(slow, new EngineOptions { Pods = 1 });
        Generation running = engine.Submit(Count(10, 50), Cancellation), waiting = engine.Submit(Count(20), Cancellation);
        gate.WaitUntilReached();
        Task disposing = Task.Run(engine.Dispose, Cancellation);
        while (engine.Refusal is null)
            await Task.Yield();
        gate.Open();
        await disposing;
        await Assert.ThrowsAsync<EngineClosedException>(() => Read(running));
        await Assert.ThrowsAsync<EngineClosedException>(() => Read(waiting));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(100)]
    public async Task An_embedding_is_the_normalised_mean_of_the_states_however_the_text_is_cut(int promptRows)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using FastTransformer transformer = new(checkpoint.Config, checkpoint.Weights);
        int[] tokens = [1, 300, 7, 9, 400, 8, 10, 11, 12];
        int dim = checkpoint.Config.Dim;
        float[] states = new float[tokens.Length * dim];
        KvCache cache = new(checkpoint.Config);
        transformer.Forward([.. tokens.Select(token => new Row(token, cache, Want.Embedding))], states);
        double[] mean = [.. Enumerable.Range(0, dim).Select(d => Enumerable.Range(0, tokens.Length).Sum(t => (double)states[t * dim + d]))];
        double length = Math.Sqrt(mean.Sum(value => value * value));

        using GenerationEngine engine = new(transformer, new EngineOptions { PromptRows = promptRows });
        float[][] embeddings = await engine.EmbedAsync([tokens, [1]], Cancellation);
        Bits.AssertEqual([.. mean.Select(value => (float)(value / length))], embeddings[0]);
        Assert.Equal(1, embeddings[1].Sum(value => (double)value * value), 1e-6);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => engine.EmbedAsync([tokens], new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task Log_probabilities_of_prompt_and_answer_are_those_of_the_logits()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        using FastTransformer transformer = new(checkpoint.Config, checkpoint.Weights);
        int[] prompt = [1, 300, 7, 9, 400];
        List<float[]> logits = [];
        Sequence alone = new(checkpoint.Config, new Sampler(checkpoint.Config.VocabSize, 0, 0, 1), tokens: prompt)
        {
            OnLogits = values => logits.Add(values.ToArray()),
            MaxNewTokens = 3,
        };
        foreach (string _ in new Batch(transformer).Run(alone, Cancellation))
            continue;

        using GenerationEngine engine = new(transformer, new EngineOptions { PromptRows = 2 });
        Generation generation = engine.Submit(new GenerationRequest(prompt, new Sampler(checkpoint.Config.VocabSize, 0, 0, 1))
        {
            MaxNewTokens = 3,
            TopLogProbs = 2,
            PromptLogProbs = true,
        }, Cancellation);
        List<TokenLogProbs> all = [];
        await foreach (GeneratedToken token in generation.ReadAllAsync(Cancellation))
            all.Add(token.LogProbs!);
        all = [.. generation.PromptLogProbs, .. all];
        Assert.Equal(alone.Tokens.ToArray()[1..], all.Select(token => token.Token));
        for (int i = 0; i < all.Count; i++)
        {
            Assert.Equal(LogProbabilities.Of(logits[i], all[i].Token), all[i].LogProb);
            Assert.Equal(LogProbabilities.Top(logits[i], 2), all[i].Top);
        }
    }
}
