using System.Text;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Text;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any vocabulary of the kinds that GGUF files hold and any text: the twins give the same tokens, none is a control token, and decoding
/// them gives the text back wherever the vocabulary can express it.
/// </summary>
internal static class EncodeGguf
{
    private const int MaxText = 256; // the plain algorithms are quadratic

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        bool isSentencePiece = input.Bool(), hasBytes = input.Bool() || !isSentencePiece, addsBlank = input.Bool(), removes = input.Bool();
        List<byte[]> pieces = ["<unk>"u8.ToArray(), "<s>"u8.ToArray(), "</s>"u8.ToArray()];
        List<PieceType> types = [PieceType.Unknown, PieceType.Control, PieceType.Control];
        for (int value = 0; value < 256 && hasBytes; value++)
        {
            pieces.Add(isSentencePiece ? Encoding.ASCII.GetBytes($"<0x{value:X2}>") : [(byte)value]);
            types.Add(isSentencePiece ? PieceType.Byte : PieceType.Normal);
        }
        List<float> scores = [.. pieces.Select(_ => 0f)];
        List<(int, int, int)> merges = [];
        for (int count = input.Between(0, 60); count > 0; count--)
        {
            PieceType type = (PieceType)Math.Max(1, input.Between(0, 15) - 9); // most are normal
            int left = input.Between(0, pieces.Count - 1), right = input.Between(0, pieces.Count - 1);
            float score = -input.Between(0, 9);
            byte[] piece = isSentencePiece ? input.Bytes(input.Between(0, 7)).ToArray() : [.. pieces[left], .. pieces[right]];
            if (piece.Length > MaxText)
                break;
            merges.Add((left, right, pieces.Count));
            pieces.Add(piece);
            types.Add(isSentencePiece || type != PieceType.Byte ? type : PieceType.Normal);
            scores.Add(score == -9 ? input.Value<float>() : score);
        }
        ReadOnlySpan<byte> text = input.Bytes(MaxText);

        Vocabulary vocabulary = new(pieces, types, bos: 1, ends: [2]);
        ITokenizer tokenizer = isSentencePiece
            ? new SentencePieceTokenizer(vocabulary, scores) { AddsBlank = addsBlank, RemovesBlanks = removes }
            : new BytePairTokenizer(vocabulary, merges, addsBlank ? TextSplitter.Llama3 : TextSplitter.SmolLm, ignoresMerges: removes);
        int[] ids = tokenizer.Encode(text, bos: true, eos: true), fast = FastTokenizer.Of(tokenizer).Encode(text, bos: true, eos: true);
        if (!ids.AsSpan().SequenceEqual(fast))
            throw new BrokenPromiseException($"simple gives {string.Join(' ', ids)}, fast {string.Join(' ', fast)}");
        if (ids[1..^1].Any(id => vocabulary.Type(id) == PieceType.Control))
            throw new BrokenPromiseException($"a control token in {string.Join(' ', ids)}");
        bool isExact = !isSentencePiece
            || (hasBytes && !removes && vocabulary.Find("\u2581"u8) is not null && text.IndexOf("\u2581"u8) < 0);
        if (isExact && !text.SequenceEqual(Decode(tokenizer, ids)))
            throw new BrokenPromiseException("decoding does not give the text back");
    }

    private static byte[] Decode(ITokenizer tokenizer, int[] ids)
    {
        List<byte> bytes = [];
        for (int i = 1; i < ids.Length - 1; i++)
            bytes.AddRange(tokenizer.Decode(ids[i - 1], ids[i]));
        return [.. bytes];
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-sentencepiece", Make(isSentencePiece: true, " abbcab ababcabc", "a", "b", "ab", "bc", "\u2581", "\u2581a", "ba")),
        new("seed-byte-pairs", Make(isSentencePiece: false, "it's 12345 ababab\r\n  é", "", "", "")),
    ];

    private static byte[] Make(bool isSentencePiece, string text, params string[] pieces)
    {
        List<byte> data = [(byte)(isSentencePiece ? 1 : 0), 1, 1, 0, (byte)pieces.Length];
        foreach (string piece in pieces)
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(piece);
            data.AddRange([0, 3 + 'a', 0, 3 + 'b', 0, 1]);
            if (isSentencePiece)
                data.AddRange([(byte)utf8.Length, .. utf8]);
        }
        return [.. data, .. Encoding.UTF8.GetBytes(text)];
    }
}
