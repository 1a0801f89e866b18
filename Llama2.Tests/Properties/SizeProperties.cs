using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast.Kernels;

namespace Llama2.Tests.Properties;

/// <summary>Sizes are those of exact arithmetic for every shape that a file may have; no memory is touched.</summary>
public sealed class SizeProperties
{
    private const int MaxWidth = 1 << 24; // of all heads of a model; also its longest context

    private sealed record Shape(int Tokens, int KvHeads, int KvMul, int HeadSize, int Positions)
    {
        // exponents, so that half of the products pass 2^31
        public static readonly Gen<Shape> Any =
            from tokens in Gen.Choose(1, 12)
            from kvHeads in Gen.Choose(0, 11)
            from kvMul in Gen.Choose(0, 11)
            from headSize in Gen.Choose(1, 1 << 9)
            from positions in Gen.Choose(4, 24)
            from odd in Gen.Choose(0, 15)
            let most = MaxWidth / (2 * headSize) // heads
            let shared = Math.Min(1 << kvHeads, most)
            select new Shape(tokens, shared, Math.Min(1 << kvMul, most / shared), 2 * headSize, (1 << positions) - odd);
    }

    [Property(MaxTest = 2000)]
    public FsCheck.Property Scores_are_counted_in_64_bits() => Property.ForAll(Shape.Any, _ => [], x =>
    {
        Heads heads = new()
        {
            Tokens = x.Tokens,
            Position = Math.Max(0, x.Positions - x.Tokens),
            KvHeads = x.KvHeads,
            KvMul = x.KvMul,
            HeadSize = x.HeadSize,
            KvDim = x.KvHeads * x.HeadSize,
        };
        Int128 queries = (Int128)x.Tokens * x.KvHeads * x.KvMul, positions = ((Int128)heads.Positions + 15) / 16 * 16;
        Int128 tiles = 2 * 16 * (((Int128)x.HeadSize + 3) / 4 * 4);
        Assert.Equal(queries * (positions + x.HeadSize) + tiles, Attention<LanesScalar>.ScratchCount(heads));
    });

    [Fact]
    public void Shapes_reach_heads_and_positions_whose_product_passes_2_to_31()
    {
        Shape[] shapes = [.. Shape.Any.Sample(1000)];
        Assert.InRange(shapes.Count(x => (long)x.Tokens * x.KvHeads * x.KvMul * x.Positions > int.MaxValue), 200, 900);
    }
}
