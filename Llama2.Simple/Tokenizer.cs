using System.Text;

namespace Llama2.Simple;

/// <summary>
/// The byte pair encoding (BPE) tokenizer of Llama 2, which translates text to tokens and back; run.c's <c>encode</c> and
/// <c>decode</c>. Where run.c leaves the vocabulary, because it lacks " " or the 256 byte tokens, this one leaves out the
/// " " before the text or takes <see cref="Unknown"/>.
/// </summary>
public sealed class Tokenizer
{
    /// <summary>Id of the unknown token.</summary>
    public const int Unknown = 0;

    /// <summary>Id of BOS, which begins a text and, in a model of stories, ends it.</summary>
    public const int Bos = 1;

    /// <summary>Id of EOS.</summary>
    public const int Eos = 2;

    private const int FirstByte = 3; // the first 3 tokens are <unk>, <s>, </s>, then come the 256 bytes
    private const float MergeFloor = -1e10f;

    private readonly (byte[] Piece, float Score)[] _vocab;
    private readonly byte[][] _texts;                    // each piece, or the one byte that a token such as <0x0A> stands for
    private readonly Lazy<Dictionary<string, int>> _ids; // each piece, a char a byte, to its id; made for the first text to encode
    private readonly int _longest;

    /// <summary>A tokenizer of this vocabulary.</summary>
    /// <param name="vocab">Each token's piece, in UTF-8, and its score, by id.</param>
    public Tokenizer(IEnumerable<(byte[] Piece, float Score)> vocab)
    {
        _vocab = [.. vocab];
        _texts = new byte[_vocab.Length][];
        for (int id = 0; id < _vocab.Length; id++)
        {
            byte[] piece = _vocab[id].Piece;
            _texts[id] = ParseByte(piece) is { } value ? [value] : piece;
            _longest = Math.Max(_longest, piece.Length);
        }
        _ids = new(CollectIds);
    }

    private Dictionary<string, int> CollectIds()
    {
        Dictionary<string, int> ids = new(_vocab.Length);
        for (int id = 0; id < _vocab.Length; id++)
        {
            if (id is not (Bos or Eos)) // so that nothing a user types becomes one of them
                ids.TryAdd(Encoding.Latin1.GetString(_vocab[id].Piece), id);
        }
        return ids;
    }

    private Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> Ids => _ids.Value.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Number of tokens.</summary>
    public int VocabSize => _vocab.Length;

    /// <summary>A token's piece as it stands in the vocabulary.</summary>
    public ReadOnlySpan<byte> Piece(int token) => _vocab[token].Piece;

    /// <summary>A token's score, by which merges are chosen.</summary>
    public float Score(int token) => _vocab[token].Score;

    /// <summary>The bytes that a token adds to a text.</summary>
    /// <param name="previous">The token before it: after BOS a leading blank is left out, as sentencepiece does.</param>
    /// <param name="token">The token.</param>
    public ReadOnlySpan<byte> Decode(int previous, int token)
    {
        ReadOnlySpan<byte> piece = _vocab[token].Piece;
        if (previous == Bos && piece is [(byte)' ', ..])
            return piece[1..];
        return _texts[token];
    }

    /// <summary>The text of a sequence of tokens; a BOS at its beginning adds nothing.</summary>
    public string Decode(ReadOnlySpan<int> tokens)
    {
        TextStream text = new();
        StringBuilder all = new();
        int previous = -1;
        for (int i = 0; i < tokens.Length; i++)
        {
            if (i > 0 || tokens[i] != Bos)
                all.Append(text.Append(Decode(previous, tokens[i])));
            previous = tokens[i];
        }
        return all.Append(text.Flush()).ToString();
    }

    /// <summary>The tokens of a text; a lone surrogate counts as U+FFFD.</summary>
    public int[] Encode(string text, bool bos = true, bool eos = false, bool blank = true) => Encode(Encoding.UTF8.GetBytes(text), bos, eos, blank);

    /// <summary>
    /// The tokens of a text in UTF-8: its codepoints, of which the pair with the best score is merged, the leftmost on
    /// ties, until no pair is a token. A heap finds that pair where run.c scans all of them again.
    /// </summary>
    /// <param name="utf8">The text; bytes that are no UTF-8 are taken as run.c takes them.</param>
    /// <param name="bos">Whether <see cref="Bos"/> goes first.</param>
    /// <param name="eos">Whether <see cref="Eos"/> goes last.</param>
    /// <param name="blank">Whether a text gets a " " before it, as run.c always does; not where it goes on from other tokens.</param>
    public int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true)
    {
        List<int> ids = [];
        if (bos)
            ids.Add(Bos);
        int first = ids.Count;
        if (utf8.Length > 0)
        {
            if (blank && Ids.TryGetValue(" ", out int space))
                ids.Add(space); // add_dummy_prefix is true by default
            AddCodepoints(utf8, ids);
            Merge(ids, first);
        }
        if (eos)
            ids.Add(Eos);
        return [.. ids];
    }

    private void AddCodepoints(ReadOnlySpan<byte> utf8, List<int> ids)
    {
        Span<char> codepoint = stackalloc char[4];
        for (int i = 0, length; i < utf8.Length; i += length)
        {
            // a byte and the continuation bytes (10xxxxxx) behind it, four bytes at most
            for (length = 1; length < 4 && i + length < utf8.Length && (utf8[i + length] & 0xC0) == 0x80;)
                length++;
            Encoding.Latin1.GetChars(utf8.Slice(i, length), codepoint);
            if (Ids.TryGetValue(codepoint[..length], out int id))
            {
                ids.Add(id);
                continue;
            }
            ids.AddRange(EncodeBytes(utf8.Slice(i, length))); // byte fallback
        }
    }

    /// <summary>The byte tokens of a text, which never become part of a piece; <see cref="Unknown"/> where the vocabulary has none.</summary>
    public int[] EncodeBytes(ReadOnlySpan<byte> utf8)
    {
        int[] ids = new int[utf8.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            int id = FirstByte + utf8[i];
            ids[i] = id < _vocab.Length && ParseByte(_vocab[id].Piece) == utf8[i] ? id : Unknown;
        }
        return ids;
    }

    /// <summary>The token whose piece this is, if there is one; <see cref="Bos"/> and <see cref="Eos"/> are not found.</summary>
    public int? Find(string piece) => Ids.TryGetValue(Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(piece)), out int id) ? id : null;

    /// <summary>Two neighbours that could become one token.</summary>
    private readonly record struct Pair(int Left, int LeftId, int RightId, int Merged);

    private void Merge(List<int> ids, int first)
    {
        const int None = -1;
        int count = ids.Count;
        int[] id = [.. ids];
        int[] next = new int[count], previous = new int[count];
        PriorityQueue<Pair, (float Score, int Left)> best = new(BestFirst);
        char[] buffer = new char[_longest];

        for (int i = first; i < count; i++)
        {
            previous[i] = i == first ? None : i - 1;
            next[i] = i == count - 1 ? None : i + 1;
            Propose(i);
        }
        while (best.TryDequeue(out Pair pair, out _))
        {
            int left = pair.Left, right = id[left] == None ? None : next[left];
            if (right == None || id[left] != pair.LeftId || id[right] != pair.RightId)
                continue; // one of them has become part of another token
            id[left] = pair.Merged;
            id[right] = None;
            next[left] = next[right];
            if (next[left] != None)
                previous[next[left]] = left;
            Propose(left);
            if (previous[left] != None)
                Propose(previous[left]);
        }
        ids.Clear();
        ids.AddRange(id.Where(token => token != None));

        void Propose(int left)
        {
            if (next[left] == None)
                return;
            byte[] a = _vocab[id[left]].Piece, b = _vocab[id[next[left]]].Piece;
            if (a.Length + b.Length > _longest)
                return;
            Encoding.Latin1.GetChars(a, buffer);
            Encoding.Latin1.GetChars(b, buffer.AsSpan(a.Length));
            if (Ids.TryGetValue(buffer.AsSpan(0, a.Length + b.Length), out int merged) && _vocab[merged].Score > MergeFloor)
                best.Enqueue(new Pair(left, id[left], id[next[left]], merged), (_vocab[merged].Score, left));
        }
    }

    private static readonly Comparer<(float Score, int Left)> BestFirst =
        Comparer<(float Score, int Left)>.Create(static (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Left.CompareTo(b.Left));

    // "careful, some tokens designate raw bytes, and look like e.g. '<0x01>'"
    private static byte? ParseByte(ReadOnlySpan<byte> piece) =>
        piece is [(byte)'<', (byte)'0', (byte)'x', var high, var low, (byte)'>'] && char.IsAsciiHexDigit((char)high) && char.IsAsciiHexDigit((char)low)
        ? Convert.FromHexString([(char)high, (char)low])[0] : null;
}
