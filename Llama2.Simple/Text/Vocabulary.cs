namespace Llama2.Simple.Text;

/// <summary>What a piece is for; the numbers are GGUF's and sentencepiece's.</summary>
public enum PieceType { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 }

/// <summary>
/// The pieces of a vocabulary by id, and what each is for. Text becomes normal and user-defined pieces, which are found; control pieces
/// come from the program alone.
/// </summary>
public sealed class Vocabulary
{
    private readonly byte[][] _pieces;
    private readonly PieceType[] _types;
    private readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> _found, _special; // ids of pieces
    private readonly ILookup<byte, int> _userDefined; // ids by the first byte, the longest piece first

    /// <summary>A vocabulary of these pieces, each with its type.</summary>
    /// <param name="pieces">By id; the lowest id counts where a piece is repeated.</param>
    /// <param name="types">By id.</param>
    /// <param name="bos">The token that begins a text.</param>
    /// <param name="ends">Tokens that end an answer, the usual one first.</param>
    public Vocabulary(IReadOnlyList<byte[]> pieces, IReadOnlyList<PieceType> types, int bos, IReadOnlyList<int> ends)
    {
        (_pieces, _types, Bos, Eos) = ([.. pieces], [.. types], bos, ends[0]);
        Ends = [.. ends.Append(bos).Distinct()];
        foreach (int id in Ends.Where(id => _types[id] != PieceType.Byte && _pieces[id].Length > 1))
            _types[id] = PieceType.Control; // so that nothing a user types becomes one of them
        _found = new Dictionary<byte[], int>(PieceComparer.Instance).GetAlternateLookup<ReadOnlySpan<byte>>();
        _special = new Dictionary<byte[], int>(PieceComparer.Instance).GetAlternateLookup<ReadOnlySpan<byte>>();
        for (int id = 0; id < _pieces.Length; id++)
        {
            if (IsText(id))
                _found.TryAdd(_pieces[id], id);
            if (_types[id] is PieceType.Control or PieceType.UserDefined)
                _special.TryAdd(_pieces[id], id);
        }
        _userDefined = Enumerable.Range(0, Size).Where(id => _types[id] == PieceType.UserDefined && _pieces[id].Length > 0)
            .OrderByDescending(id => _pieces[id].Length).ToLookup(id => _pieces[id][0]);
    }

    public int Size => _pieces.Length;
    public int Bos { get; }
    public int Eos { get; }
    public IReadOnlyList<int> Ends { get; }    // with Bos and Eos
    public bool AddsBos { get; init; } = true; // whether a text begins with Bos
    public bool HasUserDefined => _userDefined.Count > 0;

    public ReadOnlySpan<byte> Piece(int id) => _pieces[id];
    public PieceType Type(int id) => _types[id];
    public bool IsText(int id) => _types[id] is PieceType.Normal or PieceType.UserDefined; // whether text becomes it
    public int? Find(ReadOnlySpan<byte> piece) => _found.TryGetValue(piece, out int id) ? id : null;
    public int? Special(ReadOnlySpan<byte> piece) => _special.TryGetValue(piece, out int id) ? id : null;

    /// <summary>The longest user-defined piece that a text of at least one byte begins with.</summary>
    public int? UserDefinedAt(ReadOnlySpan<byte> text)
    {
        foreach (int id in HasUserDefined ? _userDefined[text[0]] : [])
        {
            if (text.StartsWith(_pieces[id]))
                return id;
        }
        return null;
    }
}
