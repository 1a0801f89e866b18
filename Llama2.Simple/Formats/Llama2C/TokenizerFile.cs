using System.Buffers.Binary;

namespace Llama2.Simple.Formats.Llama2C;

/// <summary>
/// llama2.c's tokenizer.bin: uint32 max_token_length, then for each token a float32 score, an int32 length and as many bytes. The file
/// does not say how many tokens it has: it has as many as it holds.
/// </summary>
public static class TokenizerFile
{
    /// <summary>A hundred times Llama 2's tokenizer; a file of holes must not become 2^28 empty tokens.</summary>
    public const int MaxBytes = 1 << 26;

    /// <summary>Reads a tokenizer.</summary>
    /// <param name="vocabSize">Tokens that the model knows, or 0 to take what is there.</param>
    /// <exception cref="ModelFileException">There is no such file, it is no tokenizer, or one of another size.</exception>
    public static Tokenizer Open(string path, int vocabSize = 0)
    {
        using MappedFile file = MappedFile.Open(path);
        return Open(file, path, vocabSize);
    }

    /// <summary>The same of a mapped file, which stays the caller's.</summary>
    public static Tokenizer Open(MappedFile file, string path, int vocabSize = 0)
    {
        try
        {
            if (file.Length > MaxBytes)
                throw new ModelFileException(path, "length", $"at most {MaxBytes} bytes", $"{file.Length}");
            return new Tokenizer(Parse(file.Slice<byte>(0, (int)file.Length).Span, path, vocabSize));
        }
        catch (ModelFileException e)
        {
            throw FileKind.Explain(e, FileKind.Tokenizer, file);
        }
    }

    /// <summary>The tokens of a tokenizer's bytes; see <see cref="Open(string, int)"/>.</summary>
    public static IReadOnlyList<(byte[] Piece, float Score)> Parse(ReadOnlySpan<byte> bytes, string path, int vocabSize = 0)
    {
        if (bytes.Length < sizeof(uint))
            throw new ModelFileException(path, "max_token_length", $"{sizeof(uint)} bytes", $"{bytes.Length}");
        uint maxLength = BinaryPrimitives.ReadUInt32LittleEndian(bytes);

        int count = 0;
        List<(byte[], float)> vocab = [];
        for (bytes = bytes[sizeof(uint)..]; bytes.Length > 0;)
        {
            if (bytes.Length < sizeof(float) + sizeof(int))
                throw new ModelFileException(path, Token(), "a score and a length", $"{bytes.Length} bytes at the end of the file");
            float score = BinaryPrimitives.ReadSingleLittleEndian(bytes);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes[sizeof(float)..]);
            bytes = bytes[(sizeof(float) + sizeof(int))..];
            if (length > maxLength)
                throw new ModelFileException(path, $"{Token()}: length", $"at most max_token_length {maxLength}", $"{length}");
            if (length > bytes.Length)
                throw new ModelFileException(path, $"{Token()}: length", $"at most the {bytes.Length} bytes left in the file", $"{length}");
            if (vocabSize == 0 || count < vocabSize) // more are counted, but not kept
                vocab.Add((bytes[..(int)length].ToArray(), score));
            count++;
            bytes = bytes[(int)length..];
        }
        if (vocabSize > 0 && count != vocabSize)
            throw new ModelFileException(path, "vocabulary", $"the {vocabSize} tokens of the checkpoint", $"{count}");
        if (vocab.Count <= Tokenizer.EosId)
            throw new ModelFileException(path, "vocabulary", "at least <unk>, <s> and </s>", $"{vocab.Count} tokens");
        return vocab;

        string Token() => $"token {count}";
    }

    /// <summary>The bytes of a file with these tokens.</summary>
    public static byte[] ToBytes(IReadOnlyList<(byte[] Piece, float Score)> vocab)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream); // little endian, as the format is
        writer.Write(vocab.Max(token => token.Piece.Length));
        foreach ((byte[] piece, float score) in vocab)
        {
            writer.Write(score);
            writer.Write(piece.Length);
            writer.Write(piece);
        }
        return stream.ToArray();
    }
}
