using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// sentencepiece's byte pair encoding, by which Llama 1 and 2 read: blanks become U+2581, then neighbours are merged whose joined piece is
/// in the vocabulary, the best score first, beginning with characters. Characters without a piece become byte tokens. U+2581 in a text
/// is read as a blank.
/// </summary>
public class SentencePieceTokenizer : VocabularyTokenizer
{
    private static readonly byte[] Blank = [.. "\u2581"u8];
    private static readonly byte[] UnknownText = [.. " \u2047 "u8]; // as sentencepiece shows it

    private readonly float[] _scores;
    private readonly byte[][] _texts;               // what each token adds to a text
    private readonly int?[] _bytes = new int?[256]; // the token of each byte

    /// <summary>A tokenizer of this vocabulary.</summary>
    /// <param name="vocabulary">Its pieces have U+2581 for blanks; those of bytes are written &lt;0x0A&gt;.</param>
    /// <param name="scores">By id; of two merges the one with the higher score comes first.</param>
    public SentencePieceTokenizer(Vocabulary vocabulary, IEnumerable<float> scores)
        : base(vocabulary)
    {
        _scores = [.. scores];
        _texts = new byte[vocabulary.Size][];
        for (int id = vocabulary.Size - 1; id >= 0; id--)
        {
            _texts[id] = Text(id);
            if (vocabulary.Type(id) == PieceType.Byte && _texts[id] is [var value])
                _bytes[value] = id;
        }
    }

    /// <summary>The same tokenizer again, for a twin.</summary>
    protected SentencePieceTokenizer(SentencePieceTokenizer other)
        : base(other.Vocabulary)
    {
        (_scores, _texts, _bytes) = (other._scores, other._texts, other._bytes);
        (UnknownId, AddsBlank, RemovesBlanks) = (other.UnknownId, other.AddsBlank, other.RemovesBlanks);
    }

    public int UnknownId { get; init; }       // in place of a byte that the vocabulary lacks
    public bool AddsBlank { get; init; } = true; // whether a text gets a blank before it (add_dummy_prefix)
    public bool RemovesBlanks { get; init; }     // whether those around a text go, and of several one is left (remove_extra_whitespaces)

    public override float Score(int token) => _scores[token];

    /// <summary>Nothing for a control token, the byte for a byte token; after BOS without the blank that a text gets.</summary>
    public override ReadOnlySpan<byte> Decode(int previous, int token) =>
        AddsBlank && previous == Bos && Piece(token).StartsWith(Blank) ? _texts[token].AsSpan(1) : _texts[token];

    private byte[] Text(int id) => Vocabulary.Type(id) switch
    {
        PieceType.Control => [],
        PieceType.Unknown => UnknownText,
        PieceType.Byte when Tokenizer.ParseByte(Piece(id)) is { } value => [value],
        _ => WithBlanks(Piece(id)),
    };

    /// <summary>A piece with " " for U+2581.</summary>
    internal static byte[] WithBlanks(ReadOnlySpan<byte> piece) =>
        Encoding.Latin1.GetBytes(Encoding.Latin1.GetString(piece).Replace(Encoding.Latin1.GetString(Blank), " "));

    protected override int ByteToken(byte value) => _bytes[value] ?? UnknownId;

    protected override void AddText(ReadOnlySpan<byte> text, List<int> ids)
    {
        List<int> symbols = []; // their lengths
        for (int at = 0, length; at < text.Length; at += length)
        {
            Rune.DecodeFromUtf8(text[at..], out _, out length);
            symbols.Add(length);
        }
        Merge(text, symbols);

        bool wasUnknown = false; // the symbol before
        foreach (int length in symbols)
        {
            ReadOnlySpan<byte> symbol = text[..length];
            text = text[length..];
            int[] added = Find(symbol) is { } id ? [id] : EncodeBytes(symbol);
            bool isUnknown = added.Contains(UnknownId);
            if (!isUnknown)
                ids.AddRange(added);
            else if (!wasUnknown)
                ids.Add(UnknownId); // a run of what is not known is one token
            wasUnknown = isUnknown;
        }
    }

    // The text with U+2581 for blanks and in front, and with fewer blanks where the model says so.
    protected override ReadOnlySpan<byte> Normalize(ReadOnlySpan<byte> utf8, bool blank)
    {
        List<byte> text = new(utf8.Length + Blank.Length);
        bool skipsBlanks = RemovesBlanks && blank;
        if (skipsBlanks)
            utf8 = utf8.TrimStart((byte)' ');
        if (AddsBlank && blank && !utf8.IsEmpty)
            text.AddRange(Blank);
        foreach (byte value in utf8)
        {
            if (value != ' ')
                text.Add(value);
            else if (!skipsBlanks)
                text.AddRange(Blank);
            skipsBlanks = RemovesBlanks && value == ' ';
        }
        ReadOnlySpan<byte> normalized = text.ToArray();
        while (RemovesBlanks && normalized.EndsWith(Blank))
            normalized = normalized[..^Blank.Length];
        return normalized;
    }

    /// <summary>Merges neighbours until no two are a piece together: the best score first, the leftmost pair of equals.</summary>
    /// <param name="symbols">The lengths of its symbols, at first of its characters.</param>
    protected virtual void Merge(ReadOnlySpan<byte> text, List<int> symbols)
    {
        while (true)
        {
            float bestScore = float.NegativeInfinity;
            int best = -1;
            for (int i = 0, start = 0; i < symbols.Count - 1; start += symbols[i++])
            {
                if (Find(text.Slice(start, symbols[i] + symbols[i + 1])) is { } id && Score(id) > bestScore)
                    (bestScore, best) = (Score(id), i);
            }
            if (best == -1)
                return;
            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }
    }
}
