namespace Llama2.Simple.Text;

/// <summary>
/// The tokenizer of GPT-2 and Llama 3 (tiktoken): a text is cut into words, and in each word neighbours are merged, beginning with its
/// bytes, the pair first that stands first in the list of merges.
/// </summary>
public class BytePairTokenizer : VocabularyTokenizer
{
    private readonly Dictionary<(int Left, int Right), (int Rank, int Merged)> _merges;
    private readonly TextSplitter _splitter;
    private readonly bool _ignoresMerges;
    private readonly int[] _bytes = new int[256]; // the token of each byte

    /// <summary>A tokenizer of this vocabulary.</summary>
    /// <param name="vocabulary">Its pieces are bytes, not <see cref="ByteCharacters"/>; each of the 256 bytes is one.</param>
    /// <param name="merges">Pairs of tokens and what they become, the first one first. A piece that is no text is never made.</param>
    /// <param name="ignoresMerges">Whether a word that is a piece is taken whole, even if no merges lead to it; so in Llama 3.</param>
    /// <exception cref="ArgumentException">A byte is no piece.</exception>
    public BytePairTokenizer(
        Vocabulary vocabulary, IEnumerable<(int Left, int Right, int Merged)> merges, TextSplitter splitter, bool ignoresMerges)
        : base(vocabulary)
    {
        (_splitter, _ignoresMerges, _merges) = (splitter, ignoresMerges, []);
        foreach ((int left, int right, int merged) in merges.Where(merge => vocabulary.IsText(merge.Merged)))
            _merges.TryAdd((left, right), (_merges.Count, merged));
        for (int value = 0; value < 256; value++)
            _bytes[value] = vocabulary.Find([(byte)value]) ?? throw new ArgumentException($"byte {value} is no piece", nameof(vocabulary));
    }

    /// <summary>The same tokenizer again, for a twin.</summary>
    protected BytePairTokenizer(BytePairTokenizer other)
        : base(other.Vocabulary) =>
        (_merges, _splitter, _ignoresMerges, _bytes) = (other._merges, other._splitter, other._ignoresMerges, other._bytes);

    /// <summary>0: the order of the merges decides, and no score.</summary>
    public override float Score(int token) => 0;

    /// <summary>The bytes of a token's piece; none where that is no text, as a control token's.</summary>
    public override ReadOnlySpan<byte> Decode(int previous, int token) =>
        Vocabulary.IsText(token) ? Vocabulary.Piece(token) : [];

    protected override int ByteToken(byte value) => _bytes[value];

    protected override void AddText(ReadOnlySpan<byte> text, List<int> ids)
    {
        foreach (int length in _splitter.Split(text))
        {
            ReadOnlySpan<byte> word = text[..length];
            text = text[length..];
            if (_ignoresMerges && Find(word) is { } whole)
            {
                ids.Add(whole);
                continue;
            }
            List<int> tokens = [.. EncodeBytes(word)];
            Merge(tokens);
            ids.AddRange(tokens);
        }
    }

    /// <summary>Merges the tokens of a word until no merge is left to do, the leftmost pair first where one occurs twice.</summary>
    protected virtual void Merge(List<int> tokens)
    {
        while (true)
        {
            (int Rank, int Merged) best = (int.MaxValue, 0);
            int at = -1;
            for (int i = 0; i < tokens.Count - 1; i++)
            {
                if (FindMerge(tokens[i], tokens[i + 1]) is { } merge && merge.Rank < best.Rank)
                    (best, at) = (merge, i);
            }
            if (at == -1)
                return;
            tokens[at] = best.Merged;
            tokens.RemoveAt(at + 1);
        }
    }

    /// <summary>What two neighbours become, and how early that comes.</summary>
    protected (int Rank, int Merged)? FindMerge(int left, int right) =>
        _merges.TryGetValue((left, right), out (int, int) merge) ? merge : null;
}
