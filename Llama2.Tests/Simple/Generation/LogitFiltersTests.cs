using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;
using Llama2.Tests.Shared;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Simple.Generation;

public sealed class LogitFiltersTests
{
    private const float Out = float.NegativeInfinity;

    private static float[] Apply(LogitFilter filter, float[] logits, params int[] tokens)
    {
        float[] changed = [.. logits];
        filter(changed, tokens);
        return changed;
    }

    private static LogitFilter TopK(int k) => Twins(LogitFilters.TopK(k), FastLogitFilters.TopK(k));
    private static LogitFilter MinP(float p) => Twins(LogitFilters.MinP(p), FastLogitFilters.MinP(p));

    private static LogitFilter Twins(LogitFilter simple, LogitFilter fast) => (logits, tokens) =>
    {
        float[] expected = [.. logits];
        simple(expected, tokens);
        fast(logits, tokens);
        Bits.AssertEqual(expected, logits);
    };

    [Fact]
    public void Penalties_of_counts_are_for_what_was_sampled_and_not_for_the_prompt()
    {
        LogitFilter filter = LogitFilters.CountPenalties(frequency: 0.5f, presence: 2, promptLength: 2);
        Assert.Equal([1, 1, 1], Filtered([0, 1]));
        Assert.Equal([1, 1, -1.5f], Filtered([0, 1, 2]));
        Assert.Equal([-1.5f, 1, -2], Filtered([0, 1, 2, 2, 0])); // several tokens may have come since

        float[] Filtered(int[] tokens)
        {
            float[] logits = [1, 1, 1];
            filter(logits, tokens);
            return logits;
        }
    }

    [Theory]
    [InlineData(0, new float[] { 1, 1, 1 })]
    [InlineData(2, new float[] { 1, 0, 0 })]
    [InlineData(9, new float[] { 0, -2, 0 })]
    public void Penalties_of_counts_are_for_the_last_tokens_only(int lastN, float[] expected) => Assert.Equal(expected,
        Apply(LogitFilters.CountPenalties(frequency: 1, presence: 0, promptLength: 0, lastN: lastN), [1, 1, 1], 0, 1, 1, 1, 2));

    [Fact]
    public void Top_k_keeps_the_k_highest_and_the_lowest_ids_of_equal_ones()
    {
        Assert.Equal([Out, 3, Out, 2, Out], Apply(TopK(2), [1, 3, -1, 2, 2]));
        Assert.Equal([0, 0, Out], Apply(TopK(2), [0, 0, 0]));
        Assert.Equal([1, 2], Apply(TopK(9), [1, 2]));
    }

    [Fact]
    public void Top_k_keeps_k_of_any_logits_and_none_that_is_lower_than_one_it_drops()
    {
        Gen<(float[], int)> cases = from logits in ArbMap.Default.GeneratorFor<int>().Select(i => (float)(i % 8)).NonEmptyListOf()
                                    from k in Gen.Choose(1, logits.Count)
                                    select (logits.ToArray(), k);
        Prop.ForAll(cases.ToArbitrary(), c =>
        {
            (float[] logits, int k) = c;
            float[] filtered = Apply(TopK(k), logits);
            int[] expected = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(k).Order()];
            Assert.Equal(expected, Enumerable.Range(0, logits.Length).Where(i => filtered[i] == logits[i]));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Top_k_takes_negative_numbers_zeros_and_infinities_in_their_order()
    {
        float[] logits = [-1, -0f, 0, -2, float.PositiveInfinity, Out, -1e-40f, 1e-40f, -3e38f, 3e38f];
        for (int k = 1; k < logits.Length; k++)
        {
            int[] expected = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(k).Order()];
            float[] filtered = Apply(TopK(k), logits);
            Assert.Equal(expected.Where(i => logits[i] != Out), Enumerable.Range(0, logits.Length).Where(i => filtered[i] != Out));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    [InlineData(300)]
    [InlineData(4999)]
    public void Top_k_of_a_large_vocabulary_is_that_of_sorting(int k)
    {
        LogitFilter filter = TopK(k);
        for (int seed = 0; seed < 20; seed++)
        {
            Random random = new(seed);
            float[] logits = [.. Enumerable.Range(0, 5000).Select(i => // rising, or with many ties
                seed % 4 == 0 ? i * 0.01f : (float)Math.Round(random.NextDouble() * 90 - 40, seed % 4))];
            int[] expected = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(k).Order()];
            float[] filtered = Apply(filter, logits);
            Assert.Equal(expected, Enumerable.Range(0, logits.Length).Where(i => filtered[i] != Out));
        }
    }

    [Theory]
    [InlineData(600, 3)]
    [InlineData(600, 300)]
    [InlineData(600, 599)]
    [InlineData(40, 7)]
    public void Top_k_of_numbers_and_NaN_rules_NaN_out_and_keeps_no_more_than_k(int length, int k)
    {
        for (int seed = 0; seed < 50; seed++)
        {
            Random random = new(seed);
            float[] logits = [.. Enumerable.Range(0, length)
                .Select(_ => random.NextDouble() < seed / 49.0 ? float.NaN : (float)Math.Round(random.NextDouble() * 9, seed % 3))];
            int[] kept = [.. Apply(TopK(k), logits).Index().Where(logit => logit.Item != Out).Select(logit => logit.Index)];
            int[] expected = [.. Enumerable.Range(0, length).Where(i => !float.IsNaN(logits[i])).OrderByDescending(i => logits[i])
                .ThenBy(i => i).Take(k).Order()];
            if (expected.Length == k)
                Assert.Equal(expected, kept);
            else
                Assert.Empty(kept); // too few are numbers
        }
    }

    [Fact]
    public void Filters_allocate_nothing_for_a_token()
    {
        float[] logits = [.. Enumerable.Range(0, 32000).Select(i => MathF.Sin(i))];
        int[] tokens = [.. Enumerable.Range(0, 100)];
        foreach (LogitFilter filter in All())
            Assert.Equal(0, Llama2.Tests.Fast.Allocations.Of(() => filter(logits, tokens)));
    }

    [Fact]
    public void A_filter_that_was_asked_about_drafts_does_not_remember_them()
    {
        float[] logits = [.. Enumerable.Range(0, 100).Select(i => MathF.Sin(i))];
        int[] tokens = [5, 6, 7, 7];
        foreach ((LogitFilter filter, LogitFilter other) in All().Zip(All()))
        {
            Apply(filter, logits, [.. tokens, 8, 9, 9, 10]);
            Assert.Equal(Apply(other, logits, [.. tokens, 11]), Apply(filter, logits, [.. tokens, 11]));
        }
    }

    private static LogitFilter[] All() =>
    [
        LogitFilters.TopK(40), LogitFilters.MinP(0.1f), FastLogitFilters.TopK(40), FastLogitFilters.MinP(0.1f),
        LogitFilters.RepeatPenalty(1.1f, 64), LogitFilters.CountPenalties(0.5f, 0.5f, 1),
        LogitFilters.Bias([new(3, 1.5f)]), LogitFilters.Without(4),
    ];

    [Fact]
    public void Min_p_rules_out_what_is_less_likely_than_its_fraction_of_the_best()
    {
        float[] logits = [MathF.Log(0.5f), MathF.Log(0.3f), MathF.Log(0.15f), MathF.Log(0.05f)];
        Assert.Equal([logits[0], logits[1], Out, Out], Apply(MinP(0.4f), logits));
        Assert.Equal(logits, Apply(MinP(0), logits));
        Assert.Equal([logits[0], Out, Out, Out], Apply(MinP(1), logits));
    }

    [Fact]
    public void Min_p_takes_its_maximum_as_run_c_does_for_any_number_of_any_logits()
    {
        float[] palette = [float.NaN, 0, -0f, 1, 1.5f, -3, 30, Out, float.PositiveInfinity, float.MaxValue, float.Epsilon];
        Random random = new(1);
        for (int length = 1; length < 100; length++)
        {
            float[] logits = [.. Enumerable.Range(0, length).Select(_ => palette[random.Next(length % 3 == 0 ? palette.Length : 7)])];
            float p = new[] { 0, 0.05f, 0.5f, 1 }[length % 4], lowest = logits[Sampler.ArgMax(logits)] + MathF.Log(p);
            float[] expected = [.. logits.Select(logit => logit < lowest ? Out : logit)];
            Assert.Equal(expected.Select(BitConverter.SingleToUInt32Bits),
                Apply(MinP(p), logits).Select(BitConverter.SingleToUInt32Bits));
        }
    }

    [Fact]
    public void A_repeat_penalty_makes_recent_tokens_less_likely_and_counts_each_once()
    {
        Assert.Equal([4, 2, -6, 1], Apply(LogitFilters.RepeatPenalty(2, 3), [4, 4, -3, 1], 0, 1, 2, 1));
        Assert.Equal([2, 2, -6, 1], Apply(LogitFilters.RepeatPenalty(2, 64), [4, 4, -3, 1], 0, 1, 2, 1));
        Assert.Equal([4, 4], Apply(LogitFilters.RepeatPenalty(2, 0), [4, 4], 0, 1));
        Assert.Equal([-1, -0.5f, 0, 0.25f], Apply(LogitFilters.RepeatPenalty(2, 4), [-0.5f, -0.25f, 0, 0.5f], 0, 1, 2, 3));
    }

    [Fact]
    public void A_bias_is_added_and_may_rule_out()
    {
        Dictionary<int, float> bias = new() { [1] = 2.5f, [2] = Out };
        Assert.Equal([1, 3.5f, Out], Apply(LogitFilters.Bias(bias), [1, 1, 1]));
        Assert.Equal([1, Out, Out], Apply(LogitFilters.Without(Tokenizer.BosId, Tokenizer.EosId), [1, 1, 1]));
    }

    [Fact]
    public void A_parameter_out_of_range_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => TopK(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => MinP(float.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => MinP(1.1f));
        Assert.Throws<ArgumentOutOfRangeException>(() => LogitFilters.RepeatPenalty(0, 1));
    }

    [Fact]
    public void A_token_that_was_ruled_out_is_never_sampled_not_even_where_rounding_leaves_a_gap()
    {
        HashSet<int> seen = [];
        ISampler sampler = new Sampler(7, 1, 1, 1);
        for (int i = 0; i < 2000; i++)
            seen.Add(Sampled(sampler, [20, 20, 20, 20, 20, 20, 20], LogitFilters.Without(6, 5, 0)));
        Assert.Equal([1, 2, 3, 4], seen.Order());

        // the largest coin, and probabilities that add up to no more than it
        const uint Coin = 0xFFFFFF;
        LogitFilter gap = Enumerable.Range(0, 1000).Select(i => new Random(i)).Select(random => new Dictionary<int, float>
        {
            [0] = random.NextSingle(),
            [1] = random.NextSingle(),
            [2] = random.NextSingle(),
            [5] = Out,
            [6] = Out,
        }).Select(LogitFilters.Bias).First(filter =>
        {
            float[] p = Apply(filter, new float[7]);
            Nn.Softmax(p);
            return p.Aggregate(0f, (cdf, value) => cdf + value) <= Coin / 16777216f;
        });
        Assert.Equal(4, Sampled(new Sampler(7, 1, 1, StateBefore(Coin)), new float[7], gap));
    }

    private static int Sampled(ISampler sampler, float[] logits, LogitFilter filter)
    {
        FakeModel model = FakeModel.Fixed(logits);
        Sequence sequence = new(model.Config, sampler) { Filters = [filter] };
        sequence.MaxNewTokens = 1;
        sequence.Append([1]);
        _ = new Batch(model).Run(sequence).Count();
        return sequence.LastSampled;
    }

    /// <summary>A state of the sampler from which the next coin has these upper 24 bits.</summary>
    private static ulong StateBefore(uint coin)
    {
        // xorshift is invertible: undo each shift of a state whose product has these upper bits
        ulong inverse = 0x2545F4914F6CDD1Dul;
        for (int i = 0; i < 6; i++)
            inverse *= 2 - 0x2545F4914F6CDD1Dul * inverse;
        ulong after = ((ulong)coin << 40) * inverse;
        ulong x = Undo(after, v => v >> 27);
        x = Undo(x, v => v << 25);
        return Undo(x, v => v >> 12);

        static ulong Undo(ulong y, Func<ulong, ulong> shift)
        {
            ulong x = y;
            for (int i = 0; i < 64; i++)
                x = y ^ shift(x);
            return x;
        }
    }
}
