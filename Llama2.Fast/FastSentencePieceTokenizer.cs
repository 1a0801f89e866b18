using Llama2.Simple.Text;

namespace Llama2.Fast;

/// <summary>The same tokenizer as Simple's; a heap finds the merges.</summary>
public sealed class FastSentencePieceTokenizer(SentencePieceTokenizer tokenizer) : SentencePieceTokenizer(tokenizer)
{
    protected override void Merge(ReadOnlySpan<byte> text, List<int> symbols)
    {
        int[] starts = new int[symbols.Count];
        for (int i = 1; i < starts.Length; i++)
            starts[i] = starts[i - 1] + symbols[i - 1];
        MergeHeap.Merge(symbols, new Merges(this, text, starts));
    }

    // A symbol is its length.
    private readonly ref struct Merges(FastSentencePieceTokenizer tokenizer, ReadOnlySpan<byte> text, int[] starts) : IMerges
    {
        private readonly ReadOnlySpan<byte> _text = text;

        public bool Find(int index, int left, int right, out int merged, out float score)
        {
            merged = left + right;
            score = tokenizer.Find(_text.Slice(starts[index], merged)) is { } id ? tokenizer.Score(id) : float.NegativeInfinity;
            return score > float.NegativeInfinity;
        }
    }
}
