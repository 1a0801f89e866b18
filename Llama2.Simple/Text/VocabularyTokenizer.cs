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
        AddText(utf8, blank, ids);
        if (eos)
            ids.Add(Eos);
        return [.. ids];
    }

    /// <summary>Adds the tokens of a text.</summary>
    protected abstract void AddText(ReadOnlySpan<byte> utf8, bool blank, List<int> ids);

    public abstract int[] EncodeBytes(ReadOnlySpan<byte> utf8);
    public abstract ReadOnlySpan<byte> Decode(int previous, int token);
    public abstract float Score(int token);
}
