namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any vocabulary and any text: the twins give the same tokens, none is BOS or EOS, and decoding them gives the text back
/// wherever the vocabulary can express it.
/// </summary>
internal static class Encode
{
    private const int MaxText = 256; // run.c's algorithm is quadratic, and each comparison a search

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        bool hasBlank = input.Bool(), hasBytes = input.Bool();
        List<(byte[] Piece, float Score)> vocab = [("<unk>"u8.ToArray(), 0), ("\n<s>\n"u8.ToArray(), 0), ("\n</s>\n"u8.ToArray(), 0)];
        if (hasBytes)
            vocab.AddRange(Enumerable.Range(0, 256).Select(b => (Encoding.ASCII.GetBytes($"<0x{b:X2}>"), 0f)));
        if (hasBlank)
            vocab.Add(([(byte)' '], -1));
        bool odd = false; // a piece that looks like a byte's
        for (int pieces = input.Between(0, 60); pieces > 0; pieces--)
        {
            int length = input.Between(0, 7);
            float score = length == 7 ? input.Value<float>() : -input.Between(0, 9);
            byte[] piece = input.Bytes(length).ToArray();
            odd |= piece.AsSpan().IndexOf("<0"u8) >= 0;
            vocab.Add((piece, score));
        }
        ReadOnlySpan<byte> text = input.Bytes(MaxText);

        Tokenizer tokenizer = new(vocab);
        int[] ids = tokenizer.Encode(text, bos: true, eos: true);
        int[] fast = new FastTokenizer(tokenizer).Encode(text, bos: true, eos: true);
        if (!ids.AsSpan().SequenceEqual(fast))
            throw new BrokenPromiseException($"simple gives {string.Join(' ', ids)}, fast {string.Join(' ', fast)}");
        if (ids[1..^1].Any(id => id is < 0 or Tokenizer.BosId or Tokenizer.EosId || id >= vocab.Count))
            throw new BrokenPromiseException($"BOS, EOS or no token in {string.Join(' ', ids)}");
        if (hasBlank && hasBytes && !odd && text.IndexOf("<0"u8) < 0 && !text.SequenceEqual(Decode(tokenizer, ids)))
            throw new BrokenPromiseException("decoding does not give the text back");
    }

    private static byte[] Decode(Tokenizer tokenizer, int[] ids)
    {
        List<byte> bytes = [];
        for (int i = 1; i < ids.Length - 1; i++)
            bytes.AddRange(tokenizer.Decode(ids[i - 1], ids[i]));
        return [.. bytes];
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-merges", Make(blank: true, bytes: true, "abbcab ababcabc", "a", "b", "c", "ab", "bc", "abc", " a", "ba")),
        new("seed-no-bytes", Make(blank: false, bytes: false, "xay é", "a", "x", "é")),
        new("seed-same-piece-twice", Make(blank: true, bytes: false, "aaaaaa", "a", "a", "aa", "aaa")),
    ];

    private static byte[] Make(bool blank, bool bytes, string text, params string[] pieces)
    {
        List<byte> data = [(byte)(blank ? 1 : 0), (byte)(bytes ? 1 : 0), (byte)pieces.Length];
        foreach (string piece in pieces)
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(piece);
            data.AddRange([(byte)utf8.Length, (byte)piece.Length, .. utf8]);
        }
        return [.. data, .. Encoding.UTF8.GetBytes(text)];
    }
}
