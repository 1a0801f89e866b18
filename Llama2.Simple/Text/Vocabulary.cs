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
    private readonly int[] _userDefined; // ids, in the order of their pieces' bytes

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
        _userDefined = [.. Enumerable.Range(0, Size).Where(id => _types[id] == PieceType.UserDefined && _pieces[id].Length > 0)];
        Array.Sort(_userDefined, (a, b) => Piece(a).SequenceCompareTo(Piece(b)) is var order and not 0 ? order : a - b);
    }

    public int Size => _pieces.Length;
    public int Bos { get; }
    public int Eos { get; }
    public IReadOnlyList<int> Ends { get; }    // with Bos and Eos
    public bool AddsBos { get; init; } = true; // whether a text begins with Bos

    public ReadOnlySpan<byte> Piece(int id) => _pieces[id];
    public PieceType Type(int id) => _types[id];
    public bool IsText(int id) => _types[id] is PieceType.Normal or PieceType.UserDefined; // whether text becomes it
    public int? Find(ReadOnlySpan<byte> piece) => _found.TryGetValue(piece, out int id) ? id : null;
    public int? Special(ReadOnlySpan<byte> piece) => _special.TryGetValue(piece, out int id) ? id : null;

    /// <summary>The first user-defined piece in a text, and where it begins.</summary>
    public (int Start, int Id)? FirstUserDefined(ReadOnlySpan<byte> text)
    {
        for (int start = 0; start < text.Length && _userDefined.Length > 0; start++)
        {
            if (UserDefinedAt(text[start..]) is { } id)
                return (start, id);
        }
        return null;
    }

    /// <summary>The longest user-defined piece that a text begins with. A byte of the text costs two binary searches.</summary>
    public int? UserDefinedAt(ReadOnlySpan<byte> text)
    {
        int? longest = null;
        int low = 0, high = _userDefined.Length; // of those that begin as the text does, so far
        for (int length = 0; length < text.Length && low < high; length++)
        {
            low = FirstAbove(text[length] - 1, length, low, high);
            high = FirstAbove(text[length], length, low, high);
            if (low < high && Piece(_userDefined[low]).Length == length + 1)
                longest = _userDefined[low]; // the shortest come first
        }
        return longest;
    }

    // The first in a part of the user-defined pieces whose byte there is above a value; a piece that ends before is below all.
    private int FirstAbove(int value, int at, int low, int high)
    {
        while (low < high)
        {
            int middle = (low + high) / 2;
            ReadOnlySpan<byte> piece = Piece(_userDefined[middle]);
            if (at < piece.Length && piece[at] > value)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }
}
