namespace Llama2.Simple;

/// <summary>
/// The byte pair encoding (BPE) tokenizer of Llama 2; run.c's <c>encode</c> and <c>decode</c>. Where run.c leaves the vocabulary, because
/// it lacks " " or the 256 byte tokens, this one leaves out the " " before the text or takes <see cref="UnknownId"/>.
/// </summary>
public sealed class Tokenizer : ITokenizer
{
    /// <summary>Ids of &lt;unk&gt;, BOS and EOS in the vocabularies of llama2.c.</summary>
    public const int UnknownId = 0, BosId = 1, EosId = 2;

    internal const int FirstByte = 3; // the first 3 tokens are <unk>, <s>, </s>, then come the 256 bytes

    private readonly byte[][] _vocab;
    private readonly float[] _scores;
    private readonly byte[][] _texts; // each piece, or the one byte that a token such as <0x0A> stands for
    private readonly int _maxLength;
    private int[]? _sortedIds;        // by piece, without BOS and EOS; made for the first text to encode

    /// <summary>A tokenizer of this vocabulary.</summary>
    /// <param name="vocab">Each token's piece, in UTF-8, and its score, by id.</param>
    public Tokenizer(IEnumerable<(byte[] Piece, float Score)> vocab)
    {
        (byte[] Piece, float Score)[] tokens = [.. vocab];
        _vocab = Array.ConvertAll(tokens, token => token.Piece);
        _scores = Array.ConvertAll(tokens, token => token.Score);
        _texts = Array.ConvertAll(_vocab, piece => ParseByte(piece) is { } value ? [value] : piece);
        foreach (byte[] piece in _vocab)
            _maxLength = Math.Max(_maxLength, piece.Length);
    }

    public int VocabSize => _vocab.Length;
    public int Bos => BosId;
    public int Eos => EosId;
    public IReadOnlyList<int> Ends { get; } = [BosId, EosId];
    public bool AddsBos => true;
    public int? Special(ReadOnlySpan<byte> piece) => null;
    public ReadOnlySpan<byte> Piece(int token) => _vocab[token];
    public float Score(int token) => _scores[token];

    public ReadOnlySpan<byte> Decode(int previous, int token)
    {
        // following BOS (1) token, sentencepiece decoder strips any leading whitespace
        if (previous == BosId && _vocab[token] is [(byte)' ', .. var rest])
            return rest;
        return _texts[token];
    }

    public int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true)
    {
        List<int> tokens = [];
        if (bos)
            tokens.Add(BosId);
        int first = tokens.Count;

        // add_dummy_prefix is true by default
        if (blank && utf8.Length > 0 && Find(" "u8) is { } space)
            tokens.Add(space);

        // process the raw (UTF-8) byte sequence of the input string
        for (int i = 0, length; i < utf8.Length; i += length)
        {
            // while the next byte is a continuation byte (10xxxxxx), continue; 4 bytes at most
            for (length = 1; length < 4 && i + length < utf8.Length && (utf8[i + length] & 0xC0) == 0x80;)
                length++;
            if (Find(utf8.Slice(i, length)) is { } id)
                tokens.Add(id); // we found this codepoint in vocab, add it as a token
            else
                tokens.AddRange(EncodeBytes(utf8.Slice(i, length))); // byte fallback
        }

        // merge the best consecutive pair each iteration, according to the scores
        byte[] pair = new byte[2 * _maxLength];
        while (true)
        {
            float bestScore = -1e10f;
            int bestId = -1, bestIndex = -1;
            for (int i = first; i < tokens.Count - 1; i++)
            {
                byte[] a = _vocab[tokens[i]], b = _vocab[tokens[i + 1]];
                a.CopyTo(pair, 0);
                b.CopyTo(pair, a.Length);
                // this merge pair exists in vocab! record its score and position
                if (Find(pair.AsSpan(0, a.Length + b.Length)) is { } id && _scores[id] > bestScore)
                    (bestScore, bestId, bestIndex) = (_scores[id], id, i);
            }
            if (bestIndex == -1)
                break; // we couldn't find any more pairs to merge, so we're done
            tokens[bestIndex] = bestId;
            tokens.RemoveAt(bestIndex + 1);
        }

        if (eos)
            tokens.Add(EosId);
        return [.. tokens];
    }

    /// <summary>As <see cref="ITokenizer.EncodeBytes"/>; <see cref="UnknownId"/> where the vocabulary lacks a byte.</summary>
    public int[] EncodeBytes(ReadOnlySpan<byte> utf8)
    {
        int[] ids = new int[utf8.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            int id = FirstByte + utf8[i];
            ids[i] = id < _vocab.Length && ParseByte(_vocab[id]) == utf8[i] ? id : UnknownId;
        }
        return ids;
    }

    /// <summary>run.c's <c>str_lookup</c>, a binary search; the lowest id where a piece is repeated.</summary>
    public int? Find(ReadOnlySpan<byte> piece)
    {
        int[] ids = _sortedIds ??= SortIds();
        int low = 0, high = ids.Length; // the first id whose piece is not less lies between
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (piece.SequenceCompareTo(_vocab[ids[middle]]) > 0)
                low = middle + 1;
            else
                high = middle;
        }
        return low < ids.Length && piece.SequenceEqual(_vocab[ids[low]]) ? ids[low] : null;
    }

    private int[] SortIds() =>
    [
        .. Enumerable.Range(0, VocabSize).Where(id => id is not (BosId or EosId)) // so that nothing a user types becomes one of them
            .Order(Comparer<int>.Create((a, b) => _vocab[a].AsSpan().SequenceCompareTo(_vocab[b]))), // stable
    ];

    /// <summary>The byte that a piece such as &lt;0x0A&gt; stands for.</summary>
    public static byte? ParseByte(ReadOnlySpan<byte> piece)
    {
        // careful, some tokens designate raw bytes, and look like e.g. '<0x01>'
        bool isByte = piece is [(byte)'<', (byte)'0', (byte)'x', var high, var low, (byte)'>']
            && char.IsAsciiHexDigit((char)high) && char.IsAsciiHexDigit((char)low);
        return isByte ? Convert.FromHexString([(char)piece[3], (char)piece[4]])[0] : null;
    }
}
