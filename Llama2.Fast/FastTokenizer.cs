using System.Text;
using Llama2.Simple.Text;

namespace Llama2.Fast;

/// <summary>The same tokenizer as Simple's; a heap finds the pair with the best score where run.c looks at every pair again.</summary>
public sealed class FastTokenizer : ITokenizer
{
    private const float MergeFloor = -1e10f; // run.c merges no pair of this score or less

    private readonly Tokenizer _tokenizer;
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
    public FastTokenizer(Tokenizer tokenizer) => (_tokenizer, _ids) = (tokenizer, new(CollectIds));

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

    // the vocabulary is the other's
    public int VocabSize => _tokenizer.VocabSize;
    public int Bos => _tokenizer.Bos;
    public int Eos => _tokenizer.Eos;
    public IReadOnlyList<int> Ends => _tokenizer.Ends;
    public bool AddsBos => _tokenizer.AddsBos;
    public int? Special(ReadOnlySpan<byte> piece) => _tokenizer.Special(piece);
    public int[] EncodeBytes(ReadOnlySpan<byte> utf8) => _tokenizer.EncodeBytes(utf8);
    public ReadOnlySpan<byte> Decode(int previous, int token) => _tokenizer.Decode(previous, token);
    public ReadOnlySpan<byte> Piece(int token) => _tokenizer.Piece(token);
    public float Score(int token) => _tokenizer.Score(token);
    public int? Find(ReadOnlySpan<byte> piece) => _ids.Value.TryGetValue(Encoding.Latin1.GetString(piece), out int id) ? id : null;

    public int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true)
    {
        List<int> ids = [];
        if (utf8.Length > 0)
        {
            if (blank && Find(" "u8) is { } space)
                ids.Add(space);
            AddCodepoints(utf8, ids);
            MergeHeap.Merge(ids, new Merges(this));
        }
        if (bos)
            ids.Insert(0, Bos);
        if (eos)
            ids.Add(Eos);
        return [.. ids];
    }

    private void AddCodepoints(ReadOnlySpan<byte> utf8, List<int> ids)
    {
        for (int i = 0, length; i < utf8.Length; i += length)
        {
            // a byte and the continuation bytes (10xxxxxx) behind it, four bytes at most
            for (length = 1; length < 4 && i + length < utf8.Length && (utf8[i + length] & 0xC0) == 0x80;)
                length++;
            ReadOnlySpan<byte> codepoint = utf8.Slice(i, length);
            if (Find(codepoint) is { } id)
                ids.Add(id);
            else
                ids.AddRange(EncodeBytes(codepoint)); // byte fallback
        }
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
