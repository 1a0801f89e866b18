using Llama2.Simple.Text;

namespace Llama2.Fast;

/// <summary>The same tokenizer as Simple's; a long word's merges are found with a heap.</summary>
public sealed class FastBytePairTokenizer(BytePairTokenizer tokenizer) : BytePairTokenizer(tokenizer)
{
    private const int Short = 24; // tokens, of which the plain algorithm makes less work

    protected override void Merge(List<int> tokens)
    {
        if (tokens.Count <= Short)
            base.Merge(tokens);
        else
            MergeHeap.Merge(tokens, new Merges(this));
    }

    private readonly struct Merges(FastBytePairTokenizer tokenizer) : IMerges
    {
        public bool Find(int index, int left, int right, out int merged, out float score)
        {
            (int rank, merged) = tokenizer.FindMerge(left, right) ?? (-1, 0);
            score = -rank; // exact: the number of merges is below 2^24
            return rank >= 0;
        }
    }
}
