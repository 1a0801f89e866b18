using System.Text;

namespace Llama2.Fast;

/// <summary>The same tokenizer as Simple's; a heap finds the pair with the best score where run.c looks at every pair again.</summary>
public sealed class FastTokenizer : ITokenizer
{
    private const float MergeFloor = -1e10f; // run.c merges no pair of this score or less

    private readonly Tokenizer _tokenizer;
    private readonly Lazy<Dictionary<string, int>> _ids; // of each piece, a char a byte; made for the first text
    private int _maxLength; // of a piece

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
            ids = Merge(ids);
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

    /// <summary>Two neighbours that could become one token.</summary>
    private readonly record struct Pair(int Left, int LeftId, int RightId, int Merged);

    private static readonly Comparer<(float Score, int Left)> BestFirst = Comparer<(float Score, int Left)>.Create(
        static (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Left.CompareTo(b.Left));

    // Merges the pair with the best score, the leftmost on ties, until no pair is a token. The tokens are a doubly linked list.
    private List<int> Merge(List<int> ids)
    {
        const int None = -1;
        int[] previous = [.. Enumerable.Range(None, ids.Count)], next = [.. Enumerable.Range(1, ids.Count)];
        next[^1] = None;
        char[] piece = new char[_maxLength];
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> merges = _ids.Value.GetAlternateLookup<ReadOnlySpan<char>>();
        PriorityQueue<Pair, (float Score, int Left)> best = new(BestFirst);
        for (int i = 0; i < ids.Count; i++)
            Propose(i);
        while (best.TryDequeue(out Pair pair, out _))
        {
            int left = pair.Left, right = next[left];
            if (ids[left] != pair.LeftId || right == None || ids[right] != pair.RightId)
                continue; // one of them has become part of another token
            (ids[left], ids[right]) = (pair.Merged, None);
            next[left] = next[right];
            if (next[left] != None)
                previous[next[left]] = left;
            Propose(left);
            Propose(previous[left]);
        }
        ids.RemoveAll(id => id == None);
        return ids;

        void Propose(int left)
        {
            if (left == None || next[left] == None)
                return;
            (int a, int b) = (ids[left], ids[next[left]]);
            int length = Piece(a).Length + Piece(b).Length;
            if (length > piece.Length)
                return;
            Encoding.Latin1.GetChars(Piece(a), piece);
            Encoding.Latin1.GetChars(Piece(b), piece.AsSpan(Piece(a).Length));
            if (merges.TryGetValue(piece.AsSpan(0, length), out int merged) && Score(merged) > MergeFloor)
                best.Enqueue(new Pair(left, a, b, merged), (Score(merged), left));
        }
    }
}
