using System.Text;
using Llama2.Simple.Text;

namespace Llama2.Fast;

/// <summary>The same tokenizer as Simple's; a heap finds the pair with the best score where run.c looks at every pair again.</summary>
public sealed class FastTokenizer : Tokenizer
{
    private const float MergeFloor = -1e10f; // run.c merges no pair of this score or less

    private readonly Lazy<Dictionary<string, int>> _ids; // of each piece, a char a byte; made for the first text
    private int _maxLength; // of a piece

    /// <summary>The fast twin of a tokenizer of Simple's; one that has none is as fast as it gets.</summary>
    public static ITokenizer Of(ITokenizer tokenizer) => tokenizer switch
    {
        Tokenizer plain => new FastTokenizer(plain),
        BytePairTokenizer plain => new FastBytePairTokenizer(plain),
        SentencePieceTokenizer plain => new FastSentencePieceTokenizer(plain),
        _ => tokenizer,
    };

    /// <summary>A tokenizer of the same vocabulary.</summary>
    public FastTokenizer(Tokenizer tokenizer)
        : base(tokenizer) => _ids = new(CollectIds);

    private Dictionary<string, int> CollectIds()
    {
        Dictionary<string, int> ids = new(VocabSize);
        for (int id = 0; id < VocabSize; id++)
        {
            _maxLength = Math.Max(_maxLength, Piece(id).Length);
            if (id != Bos && id != Eos) // so that nothing a user types becomes one of them
                ids.TryAdd(Encoding.Latin1.GetString(Piece(id)), id);
        }
        return ids;
    }

    public override int? Find(ReadOnlySpan<byte> piece) =>
        _ids.Value.TryGetValue(Encoding.Latin1.GetString(piece), out int id) ? id : null;

    protected override void Merge(List<int> tokens)
    {
        if (tokens.Count > 1)
            MergeHeap.Merge(tokens, new Merges(this));
    }

    private readonly struct Merges(FastTokenizer tokenizer) : IMerges
    {
        private readonly char[] _piece = new char[tokenizer._maxLength];

        private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _merges =
            tokenizer._ids.Value.GetAlternateLookup<ReadOnlySpan<char>>();

        public bool Find(int index, int left, int right, out int merged, out float score)
        {
            ReadOnlySpan<byte> a = tokenizer.Piece(left), b = tokenizer.Piece(right);
            (merged, score) = (0, MergeFloor);
            if (a.Length + b.Length > _piece.Length)
                return false;
            Encoding.Latin1.GetChars(a, _piece);
            Encoding.Latin1.GetChars(b, _piece.AsSpan(a.Length));
            if (_merges.TryGetValue(_piece.AsSpan(0, a.Length + b.Length), out merged))
                score = tokenizer.Score(merged);
            return score > MergeFloor;
        }
    }
}
