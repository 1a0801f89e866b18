using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;

namespace Llama2.Tests.Fast;

/// <summary>Products of lengths that are beyond 32 bits; no memory is touched.</summary>
public sealed unsafe class SizeTests
{
    [Fact]
    public void A_buffer_refuses_negative_and_absurd_sizes_and_keeps_what_it_has()
    {
        using NativeBuffer<float> buffer = new();
        nint address = (nint)buffer.EnsureCount(10);
        foreach (long count in (long[])[-1, int.MinValue, long.MinValue, (1L << 38) + 1, long.MaxValue])
            Assert.Throws<ArgumentOutOfRangeException>(() => (nint)buffer.EnsureCount(count));
        Assert.Equal(address, (nint)buffer.EnsureCount(10));
        Assert.Equal(0, address % 64);
    }

    /// <summary>Queries times positions; the product wrapped at 2^31 once, so that scores were written outside of their buffer.</summary>
    [Theory]
    [InlineData(12, 8, 1, 64, 1 << 21)]
    [InlineData(12, 8, 8, 128, 1 << 24)]
    [InlineData(1, 8, 16, 2, 1 << 24)]
    [InlineData(1, 1, 128, 2, 1 << 24)]
    public void Scores_of_a_long_context_are_counted_in_64_bits(int tokens, int kvHeads, int kvMul, int headSize, int positions)
    {
        Heads heads = new()
        {
            Tokens = tokens,
            Position = positions - tokens,
            KvHeads = kvHeads,
            KvMul = kvMul,
            HeadSize = headSize,
            KvDim = kvHeads * headSize,
        };
        long queries = (long)tokens * kvHeads * kvMul, expected = queries * positions + queries * headSize + 2 * 16 * (headSize + 2 & -4);
        Assert.True(queries * positions > int.MaxValue / 16);
        Assert.Equal(expected, Attention<LanesScalar>.ScratchCount(heads));
    }

    [Fact]
    public void Matrices_of_one_long_row_are_counted_in_64_bits()
    {
        const int Columns = 1 << 30;
        Matrix w = new(1, Columns, 16, null, null);
        Assert.Equal(Columns + Columns / 16 * 4L, w.RowBytes);
        Assert.Equal(8L * (Columns / 4 + Columns / 16 + 6), MatMulInt8<Int8Scalar>.ScratchCount(w));
        Assert.Equal(32L * (Columns / 4 + Columns / 16 + 6), MatMulInt8<Int8Avx512>.ScratchCount(w));
    }

    [Fact]
    public void Lengths_are_rounded_up_to_whole_lanes_or_refused()
    {
        Assert.Equal((0, 16, 16, 32), (Lanes.RoundUp(0), Lanes.RoundUp(1), Lanes.RoundUp(16), Lanes.RoundUp(17)));
        Assert.Equal(int.MaxValue - 15, Lanes.RoundUp(int.MaxValue - 15));
        Assert.Throws<OverflowException>(() => Lanes.RoundUp(int.MaxValue - 14));
    }

    [Theory]
    [InlineData(int.MaxValue, 1, int.MaxValue)]
    [InlineData(int.MaxValue, 2, 1 << 30)]
    [InlineData(64, int.MaxValue, 1)]
    [InlineData(65, 64, 2)]
    public void The_last_group_of_a_row_may_be_shorter(int length, int groupSize, int groups)
    {
        using QuantizedActivations x = new(length, groupSize);
        Assert.Equal(groups, x.Groups);
    }
}
