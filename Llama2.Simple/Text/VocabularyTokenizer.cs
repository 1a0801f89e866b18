namespace Llama2.Simple.Text;

/// <summary>A tokenizer over the vocabulary of a GGUF file.</summary>
public abstract class VocabularyTokenizer(Vocabulary vocabulary) : ITokenizer
{
    protected Vocabulary Vocabulary { get; } = vocabulary;

    public int VocabSize => Vocabulary.Size;
    public int Bos => Vocabulary.Bos;
    public int Eos => Vocabulary.Eos;
    public IReadOnlyList<int> Ends => Vocabulary.Ends;
    public bool AddsBos => Vocabulary.AddsBos;
    public int? Find(ReadOnlySpan<byte> piece) => Vocabulary.Find(piece);
    public int? Special(ReadOnlySpan<byte> piece) => Vocabulary.Special(piece);
    public ReadOnlySpan<byte> Piece(int token) => Vocabulary.Piece(token);
    public PieceType Type(int token) => Vocabulary.Type(token);

    public int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true)
    {
        List<int> ids = [];
        if (bos && (AddsBos || utf8.IsEmpty))
            ids.Add(Bos);
        ReadOnlySpan<byte> text = Normalize(utf8, blank);
        while (Vocabulary.FirstUserDefined(text) is (var start, var id))
        {
            AddText(text[..start], ids);
            ids.Add(id);
            text = text[(start + Piece(id).Length)..];
        }
        AddText(text, ids);
        if (eos)
            ids.Add(Eos);
        return [.. ids];
    }

    public int[] EncodeBytes(ReadOnlySpan<byte> utf8)
    {
        int[] ids = new int[utf8.Length];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = ByteToken(utf8[i]);
        return ids;
    }

    /// <summary>The text as the pieces are written.</summary>
    protected virtual ReadOnlySpan<byte> Normalize(ReadOnlySpan<byte> utf8, bool blank) => utf8;

    /// <summary>Adds the tokens of a part of the text, in which no user-defined piece is.</summary>
    protected abstract void AddText(ReadOnlySpan<byte> text, List<int> ids);

    protected abstract int ByteToken(byte value);
    public abstract ReadOnlySpan<byte> Decode(int previous, int token);
    public abstract float Score(int token);
}
