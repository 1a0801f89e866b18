using Llama2.Cli.Bench;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Bench;

public sealed class StatisticsTests
{
    [Fact]
    public void The_median_is_the_middle()
    {
        Assert.Equal(3, Statistics.Median([5, 1, 3]));
        Assert.Equal(2.5, Statistics.Median([4, 1, 3, 2]));
        Assert.Equal(7, Statistics.Median([7]));
        Assert.Equal(double.NaN, Statistics.Median([]));
    }

    [Fact]
    public void The_spread_is_from_worst_to_best()
    {
        Assert.Equal(0.3, Statistics.Spread([100, 110, 80]), 12);
        Assert.Equal(0, Statistics.Spread([100]));
        Assert.Equal(double.NaN, Statistics.Spread([]));
    }

    [Fact]
    public void The_work_of_a_token_is_counted_from_the_shape()
    {
        Config config = new(Dim: 8, HiddenDim: 16, LayerCount: 3, HeadCount: 4, KvHeadCount: 2, VocabSize: 300, SeqLen: 32);
        const long Matrices = 3 * (8 * 8 + 4 * 8 + 4 * 8 + 8 * 8 + 3 * 16 * 8), Norms = 3 * 2 * 8 + 8, Vocabulary = 300 * 8;
        CheckpointHeader tied = new(0, config, SharedClassifier: true), own = new(1, config, SharedClassifier: false);
        Assert.Equal(Matrices + Norms + Vocabulary, Work.Parameters(tied));
        Assert.Equal(Matrices + Norms + 2 * Vocabulary, Work.Parameters(own));
        Assert.Equal(4 * (Matrices + Norms + Vocabulary), Work.WeightBytes(tied));
        Assert.Equal(4 * (Matrices + Norms + Vocabulary), Work.WeightBytes(own)); // one of the two tables

        Assert.Equal(4 * (Matrices + Norms) + 777, Work.WeightBytes(tied, shortlist: 777)); // read instead of the table that is the classifier
        Assert.Equal(4 * (Matrices + Norms) + 777, Work.WeightBytes(own, shortlist: 777));

        // at positions 0, 1, 2 there are 1, 2, 3 keys and values of 4 floats in each layer
        Assert.Equal(Work.WeightBytes(tied) + 2.0 * 4 * 4 * 3 * 2, Work.DecodeBytes(tied, 3));
        // three tokens: matrices, q.k and att*v of 1 + 2 + 3 positions, the classifier once
        Assert.Equal(2.0 * (3 * Matrices + 2 * 8 * 3 * (1 + 2 + 3) + Vocabulary) / 3, Work.PrefillOperations(tied, 3), 6);
    }

    [Fact]
    public void The_limits_of_this_machine_are_beyond_those_of_a_pocket_calculator()
    {
        Assert.True(Limits.ReadBandwidth(1 << 20, 1) > 0.5);
        Assert.True(Limits.FmaPeak(1) > 0.5);
        Assert.True(Limits.Int8Peak(1) is double.NaN or > 0.5);
    }
}
