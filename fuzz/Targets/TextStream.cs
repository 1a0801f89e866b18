namespace Llama2.Fuzz.Targets;

/// <summary>Bytes give the same text however they are cut, and IsSafe tells which pieces must not reach a terminal.</summary>
internal static class TextStream
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        ReadOnlySpan<byte> cuts = input.Bytes(data.Length / 4);
        ReadOnlySpan<byte> bytes = input.Rest;
        string expected = Encoding.UTF8.GetString(bytes);

        Simple.Text.TextStream stream = new();
        StringBuilder text = new();
        for (int i = 0; !bytes.IsEmpty; i++)
        {
            ReadOnlySpan<byte> piece = bytes[..Math.Min(i < cuts.Length ? cuts[i] % 8 : bytes.Length, bytes.Length)];
            bytes = bytes[piece.Length..];
            text.Append(stream.Append(piece));
            bool control = piece.Length == 1 && char.IsControl((char)piece[0]) && !char.IsWhiteSpace((char)piece[0]) && piece[0] < 0x80;
            if (Simple.Text.TextStream.IsSafe(piece) == control)
                throw new BrokenPromiseException($"IsSafe is wrong for {Convert.ToHexString(piece)}");
        }
        text.Append(stream.Flush());
        if (text.ToString() != expected)
            throw new BrokenPromiseException($"\"{text}\" instead of \"{expected}\"");
        if (stream.Flush().Length > 0 || stream.Append("a"u8) != "a")
            throw new BrokenPromiseException("a flush left something behind");
    }
}
