using Llama2.Fast;
using Llama2.Simple.Generation.Speculation;
using Llama2.Tests.Properties;
using Llama2.Tests.Shared;

namespace Llama2.Tests.Simple.Generation.Speculation;

/// <summary>The model that ships, drafted in every way: what is printed, and what a server promises, is the same.</summary>
public sealed class ExactnessTests : IDisposable
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    private readonly Checkpoint _checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
    private readonly FastTransformer _model, _copy;

    public ExactnessTests()
    {
        _model = new FastTransformer(_checkpoint.Config, _checkpoint.Weights, threads: 2);
        Weights int8 = WeightQuantizer.Quantize(_checkpoint.Weights, WeightQuantizer.GroupSizeFor(_checkpoint.Config), threads: 1);
        _copy = new FastTransformer(_checkpoint.Config, int8, threads: 2);
    }

    public void Dispose()
    {
        _model.Dispose();
        _copy.Dispose();
        _checkpoint.Dispose();
    }

    private Sequence NewSequence(string prompt, float temperature, IDrafter? drafter, string[]? stops = null, int max = 200,
        KvCache? cache = null, LogitsVisitor? visitor = null, ulong seed = 7)
    {
        int[] tokens = Tales.Encode(prompt);
        Sequence sequence = new(_model.Config, new FastSampler(512, temperature, 0.9f, seed), cache, tokens[..(cache?.Length ?? 0)])
        {
            Drafters = drafter is null ? [] : [drafter],
            OnLogits = visitor,
            IsEnd = Tales.IsEnd,
            MaxNewTokens = max,
            Text = new StoppableText(Tales, tokens[^1], stops ?? []),
        };
        sequence.Append(tokens.AsSpan(sequence.Fed));
        return sequence;
    }

    public static TheoryData<DrafterKind, int, float> Ways
    {
        get
        {
            TheoryData<DrafterKind, int, float> ways = [];
            foreach (DrafterKind kind in Enum.GetValues<DrafterKind>())
            {
                foreach (int drafts in (int[])[1, 3, 16])
                {
                    ways.Add(kind, drafts, 0);
                    ways.Add(kind, drafts, 1);
                }
            }
            return ways;
        }
    }

    [Theory, MemberData(nameof(Ways))]
    public void A_story_with_stop_strings_and_one_that_the_model_ends_are_the_same(DrafterKind kind, int drafts, float temperature)
    {
        foreach (string[] stops in (string[][])[[], ["day", "ed the"], ["zzz"]])
        {
            Told plain = Told.Of(_model, visitor => NewSequence("Tom and Sue", temperature, null, stops, visitor: visitor));
            IDrafter drafter = kind.Create(plain.Tokens, _copy, drafts, 5);
            foreach (bool byToken in (bool[])[true, false])
            {
                FixedDrafts policy = new(DraftPolicy.MaxDrafts);
                Told drafted = Told.Of(_model, visitor => NewSequence("Tom and Sue", temperature, drafter, stops, visitor: visitor), policy,
                    byToken);
                Told.AssertEqual(plain, drafted, byToken);
                bool isGood = kind is DrafterKind.Right or DrafterKind.Self;
                Assert.True(!isGood || policy.Accepted > policy.Steps / 2, $"{policy.Accepted} in {policy.Steps}");
                Assert.True(kind != DrafterKind.Wrong || policy.Accepted == 0, $"{policy.Accepted}");
            }
        }
    }

    [Fact]
    public void An_int8_copy_on_the_same_cache_guesses_most_tokens_greedy_and_sampled()
    {
        foreach (float temperature in (float[])[0, 1])
        {
            FixedDrafts policy = new(4);
            SelfDrafter drafter = new(new Lazy<ITransformer>(_copy));
            Told.Of(_model, _ => NewSequence("Tom and Sue", temperature, drafter), policy);
            Assert.InRange((double)policy.Accepted / policy.Drafted, 0.7, 1);
            Assert.InRange(policy.TokensPerStep, 3.5, 5);
        }
    }

    [Fact]
    public void A_greedy_text_asks_for_tokens_and_not_for_logits()
    {
        RowCounter counter = new(_model);
        Told plain = Told.Of(_model, _ => NewSequence("Tom", 0, null, max: 50));
        Told.Of(counter, _ => NewSequence("Tom", 0, DrafterKind.Right.Create(plain.Tokens, _copy, 16, 1), max: 50), new FixedDrafts(7));
        Assert.Equal(0, counter.Wants[Want.Logits]);
        Assert.Equal(50, counter.Wants[Want.Token]); // not one too many at the end
        Assert.Equal(8, counter.Calls); // the prompt, then seven tokens more for each step's one: 1 + 49 / 8
    }

    [Fact]
    public void A_token_of_a_draft_that_ends_the_text_is_the_last()
    {
        FakeModel model = FakeModel.Scripted(20, 5, 6, Tokenizer.BosId, 7, 8);
        TestDrafter drafter = new((sequence, _) => [6, Tokenizer.BosId, 7, 8]);
        Sequence sequence = new(model.Config, new Sampler(20, 0, 0, 1)) { Drafters = [drafter], IsEnd = token => token == Tokenizer.BosId };
        sequence.Append([1, 3]);
        FixedDrafts policy = new(4);
        Assert.Equal(3, new Batch(model, policy).Run(sequence).Count());
        Assert.Equal([1, 3, 5, 6], sequence.Tokens);
        Assert.Equal((TextEnd.Model, Tokenizer.BosId, 3, 4), (sequence.End, sequence.LastSampled, sequence.Sampled, sequence.Fed));
        Assert.Equal([2, 5], model.Calls);
        Assert.Equal((1, 4, 1), (policy.Steps, policy.Drafted, policy.Accepted));
    }

    [Fact]
    public void Drafts_never_reach_beyond_the_context_or_the_tokens_allowed()
    {
        TestDrafter drafter = new((_, _) => Enumerable.Repeat(2, DraftPolicy.MaxDrafts));
        FakeModel model = new(3, _ => [0, 0, 1], seqLen: 6);
        Sequence sequence = new(model.Config, new Sampler(3, 0, 0, 1)) { Drafters = [drafter] };
        sequence.Append([0]);
        Assert.Equal(6, new Batch(model, new FixedDrafts(16)).Run(sequence).Count());
        Assert.Equal([1, 5], model.Calls);
        Assert.Equal((TextEnd.Context, 6, 7), (sequence.End, sequence.Fed, sequence.Tokens.Length));

        model = new(3, _ => [0, 0, 1], seqLen: 60);
        sequence = new(model.Config, new Sampler(3, 0, 0, 1)) { Drafters = [drafter], MaxNewTokens = 6 };
        sequence.Append([0]);
        Assert.Equal(6, new Batch(model, new FixedDrafts(16)).Run(sequence).Count());
        Assert.Equal([1, 5], model.Calls);
        Assert.Equal((TextEnd.Length, 6, 7), (sequence.End, sequence.Fed, sequence.Tokens.Length));
    }

    // The next three are what llama.cpp's server tests leave out, since there the bits depend on the batch.

    [Theory, InlineData(0), InlineData(1)]
    public void With_and_without_a_prompt_cache_the_bytes_are_the_same(float temperature)
    {
        const string Prompt = "Tom and Sue went to the park. It was a sunny day and";
        foreach (IDrafter? drafter in (IDrafter?[])[null, new LookupDrafter(), new SelfDrafter(new Lazy<ITransformer>(_copy))])
        {
            FixedDrafts policy = new(5);
            Told without = Told.Of(_model, visitor => NewSequence(Prompt, temperature, drafter), policy);
            Sequence kept = NewSequence(Prompt, temperature, null, seed: 99); // another request with the same prompt
            foreach (string _ in new Batch(_model).Run(kept, CancellationToken.None))
                continue;
            kept.Cache.Truncate(Tales.Encode(Prompt).Length - 1);
            Told with = Told.Of(_model, visitor => NewSequence(Prompt, temperature, drafter, cache: kept.Cache), policy);
            Told.AssertEqual(without, with);
        }
    }

    [Theory, InlineData(0), InlineData(1)]
    public void Different_batch_sizes_give_the_same_bytes(float temperature)
    {
        const string Prompt = "Tom and Sue went to the park. It was a sunny day and";
        Told expected = Told.Of(_model, visitor => NewSequence(Prompt, temperature, null, visitor: visitor));
        foreach (int rows in (int[])[1, 2, 3, 7, 16])
        {
            LimitedRows limited = new(_model, rows);
            IDrafter drafter = new SelfDrafter(new Lazy<ITransformer>(_copy));
            Told actual = Told.Of(limited, visitor => NewSequence(Prompt, temperature, drafter, visitor: visitor), new FixedDrafts(rows));
            Told.AssertEqual(expected, actual with { States = [.. actual.States.Where(state => state.Sampled > 0)] }); // not of the prompt
        }
    }

    [Theory, InlineData(0), InlineData(1)]
    public void Parallel_slots_give_each_request_the_bytes_it_has_alone(float temperature)
    {
        string[] prompts = ["Tom", "Tom", "Ruby had", "Tom and Sue went to the park. It was", "Tom", "Ben", "Ann", "Tom"];
        Told[] alone = [.. prompts.Select((prompt, i) =>
            Told.Of(_model, _ => NewSequence(prompt, temperature, null, seed: 1 + (ulong)(i / 2))))];
        SelfDrafter shared = new(new Lazy<ITransformer>(_copy));
        foreach (Func<int, IDrafter?> drafterOf in (Func<int, IDrafter?>[])
            [_ => null, _ => shared, i => i % 3 == 0 ? new LookupDrafter() : i % 3 == 1 ? shared : new SelfDrafter(new(_copy))])
        {
            Sequence[] slots = [.. prompts.Select((prompt, i) => NewSequence(prompt, temperature, drafterOf(i), seed: 1 + (ulong)(i / 2)))];
            Batch batch = new(_model, new FixedDrafts(4));
            string[] texts = new string[slots.Length];
            for (int step = 0; step < slots.Length || batch.Count > 0; step++)
            {
                if (step < slots.Length)
                    batch.Add(slots[step]);
                Sequence[] running = [.. slots[..Math.Min(step + 1, slots.Length)].Where(slot => slot.End is null)];
                batch.Step();
                foreach (Sequence slot in running)
                    texts[Array.IndexOf(slots, slot)] += slot.NewText;
            }
            for (int i = 0; i < slots.Length; i++)
            {
                Assert.Equal(alone[i].Text, texts[i]);
                Assert.Equal(alone[i].Tokens, slots[i].Tokens);
                Assert.Equal(alone[i].States[^1].RandomState, slots[i].Sampler.RandomState);
                Bits.AssertEqual(alone[i].Cache, Told.CacheOf(slots[i].Cache, _model.Config));
            }
        }
    }

    [Fact]
    public void A_copy_that_texts_share_runs_once_a_draft_for_all_of_them()
    {
        RowCounter counter = new(_copy);
        SelfDrafter shared = new(new Lazy<ITransformer>(counter));
        FixedDrafts policy = new(3);
        Batch batch = new(_model, policy);
        string[] prompts = ["Tom", "Ruby had", "Ann"];
        foreach (string prompt in prompts)
            batch.Add(NewSequence(prompt, 0, shared, max: 9));
        batch.Step(); // the prompts
        batch.Step();
        Assert.Equal((3, 9, 9L), (counter.Calls, counter.Wants[Want.Token], policy.Drafted));
    }

    /// <summary>Counts the calls of a model, and the rows by what they want.</summary>
    private sealed class RowCounter(ITransformer model) : ITransformer
    {
        public int Calls { get; private set; }
        public Dictionary<Want, int> Wants { get; } = Enum.GetValues<Want>().ToDictionary(want => want, _ => 0);
        public Config Config => model.Config;
        public int PreferredRows => model.PreferredRows;

        public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
        {
            Calls++;
            foreach (Row row in rows)
                Wants[row.Want]++;
            model.Forward(rows, output);
        }

        public void Dispose()
        {
        }
    }

    /// <summary>The same model with prompts in portions of another size.</summary>
    private sealed class LimitedRows(ITransformer model, int rows) : ITransformer
    {
        public Config Config => model.Config;
        public int PreferredRows => rows;
        public void Forward(ReadOnlySpan<Row> rows, Span<float> output) => model.Forward(rows, output);

        public void Dispose()
        {
        }
    }
}
