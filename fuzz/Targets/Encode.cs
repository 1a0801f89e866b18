namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any vocabulary, of tokenizer.bin's kind or those of GGUF files, and any text: the twins give the same tokens, none is a control token,
/// and decoding them gives the text back wherever the vocabulary can express it.
/// </summary>
internal static class Encode
{
    private const int MaxText = 256; // the plain algorithms are quadratic

    public static void Run(ReadOnlySpan<byte> data, bool gguf)
    {
        using FuzzInput input = new(data);
        bool isBytePair = gguf && !input.Bool();
        bool hasBytes = input.Bool() || isBytePair, addsBlank = input.Bool(), removes = input.Bool();
        List<byte[]> pieces = ["<unk>"u8.ToArray(), "<s>"u8.ToArray(), "</s>"u8.ToArray()];
        List<PieceType> types = [PieceType.Unknown, PieceType.Control, PieceType.Control];
        for (int value = 0; value < 256 && hasBytes; value++)
        {
            pieces.Add(isBytePair ? [(byte)value] : Encoding.ASCII.GetBytes($"<0x{value:X2}>"));
            types.Add(isBytePair ? PieceType.Normal : PieceType.Byte);
        }
        List<float> scores = [.. pieces.Select(_ => 0f)];
        List<(int, int, int)> merges = [];
        for (int count = input.Between(0, 60); count > 0; count--)
        {
            PieceType type = (PieceType)Math.Max(1, input.Between(0, 15) - 9); // most are normal
            int left = input.Between(0, pieces.Count - 1), right = input.Between(0, pieces.Count - 1);
            float score = -input.Between(0, 9);
            byte[] piece = isBytePair ? [.. pieces[left], .. pieces[right]] : input.Bytes(input.Between(0, 7)).ToArray();
            if (piece.Length > MaxText)
                break;
            merges.Add((left, right, pieces.Count));
            pieces.Add(piece);
            types.Add(gguf && !(isBytePair && type == PieceType.Byte) ? type : PieceType.Normal);
            scores.Add(score == -9 ? input.Value<float>() : score);
        }
        ReadOnlySpan<byte> text = input.Bytes(MaxText);

        Vocabulary vocabulary = new(pieces, types, bos: 1, ends: [2]);
        ITokenizer tokenizer = !gguf ? new Tokenizer(pieces.Zip(scores))
            : isBytePair ? new BytePairTokenizer(vocabulary, merges, addsBlank ? TextSplitter.Llama3 : TextSplitter.SmolLm, removes)
            : new SentencePieceTokenizer(vocabulary, scores) { AddsBlank = addsBlank, RemovesBlanks = removes };
        int[] ids = tokenizer.Encode(text, bos: true, eos: true), fast = FastTokenizer.Of(tokenizer).Encode(text, bos: true, eos: true);
        if (!ids.AsSpan().SequenceEqual(fast))
            throw new BrokenPromiseException($"simple gives {string.Join(' ', ids)}, fast {string.Join(' ', fast)}");
        if (ids[1..^1].Any(id => types[id] == PieceType.Control))
            throw new BrokenPromiseException($"a control token in {string.Join(' ', ids)}");
        List<byte> decoded = [];
        for (int i = 1; i < ids.Length - 1; i++)
            decoded.AddRange(tokenizer.Decode(ids[i - 1], ids[i]));
        bool isExact = isBytePair || (hasBytes && (gguf
            ? !removes && vocabulary.Find("\u2581"u8) is not null && text.IndexOf("\u2581"u8) < 0
            : vocabulary.Find(" "u8) is not null && !LooksLikeByte(text)
                && !pieces.Where((_, id) => types[id] == PieceType.Normal).Any(piece => LooksLikeByte(piece))));
        if (isExact && !text.SequenceEqual(CollectionsMarshal.AsSpan(decoded)))
            throw new BrokenPromiseException("decoding does not give the text back");
    }

    private static bool LooksLikeByte(ReadOnlySpan<byte> text) => text.IndexOf("<0"u8) >= 0;
}
