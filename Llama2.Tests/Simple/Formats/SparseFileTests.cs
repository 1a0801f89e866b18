using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Simple.Formats;

/// <summary>Tensors of more than 2^31 elements, in files that are long but take little room.</summary>
public sealed class SparseFileTests
{
    [Theory]
    [InlineData("f32", 640, 42_949_672_960)] // 40 GiB
    [InlineData("q4_0", 192, 1_811_939_328)]
    public void A_row_at_the_end_of_a_huge_table_is_the_one_that_is_run(string type, int dim, long bytes)
    {
        using SparseGguf sparse = new(dim, GgmlType.Find(type)!);
        using ModelFile huge = ModelFile.Open(sparse.Path), small = ModelFile.Open(sparse.OneRowPath);
        Assert.True((long)SparseGguf.Rows * dim > int.MaxValue);
        Assert.Equal((SparseGguf.Rows, bytes), (huge.Config.VocabSize, huge.Weights.TokenEmbedding.Bytes));
        float[] expected = new float[dim], actual = new float[dim];
        small.Weights.TokenEmbedding.CopyRow(0, expected);
        huge.Weights.TokenEmbedding.CopyRow(SparseGguf.Rows - 1, actual);
        Bits.AssertEqual(expected, actual);
        Assert.Contains(actual, x => x != 0);

        using Transformer simple = new(small.Config, small.Weights), hugeSimple = new(huge.Config, huge.Weights);
        Bits.AssertEqual(State(simple, 0), State(hugeSimple, SparseGguf.Rows - 1));
        using FastTransformer fast = new(small.Config, small.Weights), hugeFast = new(huge.Config, huge.Weights);
        Bits.AssertEqual(State(fast, 0), State(hugeFast, SparseGguf.Rows - 1));
    }

    /// <summary>The classifier is that table; all but the last of its rows are zeros.</summary>
    [Fact]
    public void A_product_with_more_than_2_to_31_elements_reaches_the_last_row()
    {
        using SparseGguf sparse = new(192, GgmlType.Find("q4_0")!);
        using ModelFile huge = ModelFile.Open(sparse.Path), small = ModelFile.Open(sparse.OneRowPath);
        using FastTransformer one = new(small.Config, small.Weights), all = new(huge.Config, huge.Weights);
        float[] expected = new float[1], actual = new float[SparseGguf.Rows];
        one.Forward([new Row(0, new KvCache(small.Config), Want.Logits)], expected);
        all.Forward([new Row(SparseGguf.Rows - 1, new KvCache(huge.Config), Want.Logits)], actual);
        Assert.NotEqual(0, expected[0]);
        Bits.AssertEqual(expected, actual.AsSpan(SparseGguf.Rows - 1).ToArray());
        Assert.Equal(-1, actual.AsSpan(0, SparseGguf.Rows - 1).IndexOfAnyExcept(0f));
    }

    private static float[] State(ITransformer transformer, int token)
    {
        float[] state = new float[2 * transformer.Config.Dim];
        KvCache cache = new(transformer.Config);
        transformer.Forward([new Row(token, cache, Want.Embedding), new Row(token, cache, Want.Embedding)], state);
        return state;
    }
}
