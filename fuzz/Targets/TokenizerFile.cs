using System.Buffers.Binary;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A file is accepted exactly if the format's description allows it, and else refused in one line. The tokenizer has the
/// file's pieces and scores, and encodes and decodes anything.
/// </summary>
internal static class TokenizerFile
{
    private static readonly ScratchFile Scratch = new();

    public static void Run(ReadOnlySpan<byte> data)
    {
        Scratch.Write(data);
        List<(byte[] Piece, float Score)>? expected = Expected(data);
        Tokenizer? tokenizer = Open(vocabSize: 0);
        if (tokenizer is null != expected is null)
            throw new BrokenPromiseException(expected is null ? "accepted a bad file" : "refused a good file");
        if (tokenizer is null)
            return;

        if (tokenizer.VocabSize != expected!.Count || Open(expected.Count) is null || Open(expected.Count + 1) is not null)
            throw new BrokenPromiseException("another number of tokens");
        for (int id = 0; id < expected.Count; id++)
        {
            if (!tokenizer.Piece(id).SequenceEqual(expected[id].Piece) || !tokenizer.Score(id).Equals(expected[id].Score))
                throw new BrokenPromiseException($"token {id} is not what the file says");
        }
        int[] ids = new FastTokenizer(tokenizer).Encode(data);
        for (int i = 1; i < ids.Length; i++)
            tokenizer.Decode(ids[i - 1], ids[i]);
    }

    private static Tokenizer? Open(int vocabSize) => Scratch.Read(path => Simple.Formats.Llama2C.TokenizerFile.Open(path, vocabSize));

    private static List<(byte[] Piece, float Score)>? Expected(ReadOnlySpan<byte> data)
    {
        if (data.Length < 4)
            return null;
        uint longest = BinaryPrimitives.ReadUInt32LittleEndian(data);
        List<(byte[], float)> tokens = [];
        long at = 4;
        while (at < data.Length)
        {
            if (at + 8 > data.Length)
                return null;
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(data[((int)at + 4)..]);
            if (length > longest || at + 8 + length > data.Length)
                return null;
            tokens.Add((data.Slice((int)at + 8, (int)length).ToArray(), BinaryPrimitives.ReadSingleLittleEndian(data[(int)at..])));
            at += 8 + length;
        }
        return tokens.Count < 3 ? null : tokens;
    }
}
