using System.Text;

namespace Llama2.Simple.Text;

/// <summary>The operations of a tokenizer on strings.</summary>
public static class TokenizerExtensions
{
    /// <summary>The tokens of a text; a lone surrogate counts as U+FFFD.</summary>
    public static int[] Encode(this ITokenizer tokenizer, string text, bool bos = true, bool eos = false, bool blank = true) =>
        tokenizer.Encode(Encoding.UTF8.GetBytes(text), bos, eos, blank);

    /// <summary>The text of a sequence of tokens; a BOS at its beginning adds nothing.</summary>
    public static string Decode(this ITokenizer tokenizer, ReadOnlySpan<int> tokens)
    {
        TextStream text = new();
        StringBuilder all = new();
        int previous = -1;
        for (int i = 0; i < tokens.Length; i++)
        {
            if (i > 0 || tokens[i] != tokenizer.Bos)
                all.Append(text.Append(tokenizer.Decode(previous, tokens[i])));
            previous = tokens[i];
        }
        return all.Append(text.Flush()).ToString();
    }

    /// <summary>Whether a token ends a text or an answer.</summary>
    public static bool IsEnd(this ITokenizer tokenizer, int token) => tokenizer.Ends.Contains(token);
}
