using System.Text;
using Llama2.Fast;

namespace Llama2.Tests.Fast;

public sealed class FastTokenizerCostTests
{
    /// <summary>A symbol and the same symbol become the next one; it counts how often that was asked.</summary>
    private sealed class Doubling : IMerges
    {
        public int Count { get; private set; }

        public bool Find(int index, int left, int right, out int merged, out float score)
        {
            Count++;
            (merged, score) = (left + 1, -left);
            return left == right;
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(1 << 16)]
    [InlineData((1 << 20) - 1)]
    public void The_heap_looks_at_no_more_than_three_pairs_for_each_symbol(int length)
    {
        List<int> symbols = [.. Enumerable.Repeat(0, length)];
        Doubling merges = new();
        MergeHeap.Merge(symbols, merges);
        Assert.Equal(Enumerable.Range(0, 32).Where(bit => (length >> bit & 1) != 0).Reverse(), symbols); // the number in binary
        Assert.InRange(merges.Count, length - 1, 3 * length);
    }

    [Theory] // with the plain algorithm, which looks at all pairs again after each merge, this would take hours
    [InlineData("Once upon a time, there was a little girl named Lily. She loved to play outside. ")]
    [InlineData("a")] // the same pair everywhere, and one word without an end
    [InlineData("inging")]
    [InlineData(" ")]
    [InlineData("7")]
    [InlineData("你好 😀")]
    public void A_megabyte_of_anything_is_encoded_by_every_fast_tokenizer(string unit)
    {
        const int Bytes = 1 << 20;
        string text = string.Concat(Enumerable.Repeat(unit, Bytes / Encoding.UTF8.GetByteCount(unit)));
        ITokenizer[] fast =
        [
            new FastTokenizer(TokenizerFile.Open(Repository.Weights("tok512-tales.bin"))),
            new FastSentencePieceTokenizer(Vocabularies.SentencePiece(Repository.Golden("tok512-tales.model"))),
            new FastBytePairTokenizer(Vocabularies.Small()),
        ];
        foreach (ITokenizer tokenizer in fast)
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }
}
