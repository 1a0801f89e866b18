using Llama2.Fast;
using Llama2.Simple;

namespace Llama2.Cli.Generate;

/// <summary>The tokens of a prompt, or the first of them where there are more than can be used: the rest is not encoded.</summary>
/// <param name="Ids">The tokens.</param>
/// <param name="IsAll">Whether these are all; if not, they are more than can be used.</param>
internal sealed record PromptTokens(int[] Ids, bool IsAll)
{
    private const int Ascii = 128; // bytes that are a codepoint each

    /// <summary>What to say where there is room for fewer.</summary>
    public string CutAt(int room) => $"of {(IsAll ? "" : "more than ")}{Ids.Length} tokens of the prompt, -n or the context leaves room "
        + $"for {room}: the text ends there";

    /// <summary>Encodes a prompt: in parts if the tokenizer merges as run.c does, and else whole.</summary>
    /// <param name="most">The tokens that can be used.</param>
    public static PromptTokens Of(ITokenizer tokenizer, ReadOnlySpan<byte> utf8, int most, bool bos = true) =>
        tokenizer is Tokenizer or FastTokenizer
            ? InParts(tokenizer, utf8, most, bos)
            : new PromptTokens(tokenizer.Encode(utf8, bos: bos), IsAll: true);

    /// <summary>
    /// Encodes a prompt in parts, which give the tokens of the whole. A token is a piece of the vocabulary, and a merge puts two pieces
    /// together, so none joins two bytes that stand side by side in no piece: there a text can be cut.
    /// </summary>
    /// <param name="partBytes">The shortest part; it goes on up to the next place where the text can be cut.</param>
    internal static PromptTokens InParts(ITokenizer tokenizer, ReadOnlySpan<byte> utf8, int most, bool bos = true, int partBytes = 4096)
    {
        List<int> ids = [];
        bool[,]? cuts = null;
        int start = 0;
        do
        {
            int end = utf8.Length - start <= partBytes ? utf8.Length : NextCut(utf8, start + partBytes, cuts ??= Cuts(tokenizer));
            ids.AddRange(tokenizer.Encode(utf8[start..end], bos: bos && start == 0, blank: start == 0));
            start = end;
        }
        while (start < utf8.Length && ids.Count <= most);
        return new PromptTokens([.. ids], IsAll: start == utf8.Length);
    }

    private static int NextCut(ReadOnlySpan<byte> utf8, int from, bool[,] cuts)
    {
        while (from < utf8.Length && !(utf8[from - 1] < Ascii && utf8[from] < Ascii && cuts[utf8[from - 1], utf8[from]]))
            from++;
        return from;
    }

    /// <summary>Whether a text can be cut between two ASCII characters.</summary>
    private static bool[,] Cuts(ITokenizer tokenizer)
    {
        bool[] joined = new bool[1 << 16]; // whether two bytes stand side by side in a piece
        for (int id = 0; id < tokenizer.VocabSize; id++)
        {
            ReadOnlySpan<byte> piece = tokenizer.Piece(id);
            for (int i = 1; i < piece.Length; i++)
                joined[piece[i - 1] << 8 | piece[i]] = true;
        }
        bool[,] cuts = new bool[Ascii, Ascii];
        for (int left = 0; left < Ascii; left++)
        {
            for (int right = 0; right < Ascii; right++)
            {
                // the piece of a byte token, such as <0x0A>, is longer than its byte
                if (tokenizer.Piece(First(left)) is [.., var last] && tokenizer.Piece(First(right)) is [var first, ..])
                    cuts[left, right] = !joined[last << 8 | first];
            }
        }
        return cuts;

        int First(int character) => tokenizer.Find([(byte)character]) ?? tokenizer.EncodeBytes([(byte)character])[0]; // before any merge
    }
}
