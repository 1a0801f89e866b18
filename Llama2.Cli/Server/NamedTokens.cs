using System.Text;
using System.Text.Unicode;
using Llama2.Simple;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>The names of a text's tokens, and where in the text each begins.</summary>
/// <param name="previous">The token before the first one, or -1.</param>
internal sealed class NamedTokens(ITokenizer tokenizer, int previous)
{
    private readonly StoppableText _text = new(tokenizer, previous, []);
    private int _length; // of the text so far, in characters that are whole

    public int Previous { get; private set; } = previous; // the last token, or the one before the first

    /// <summary>What a token is called if it comes next: its text, or as with OpenAI its bytes if they are no text by themselves.</summary>
    public string Name(int token)
    {
        ReadOnlySpan<byte> bytes = tokenizer.Decode(Previous, token);
        return Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes)
            : "bytes:" + string.Concat(bytes.ToArray().Select(value => $"\\x{value:x2}"));
    }

    /// <summary>Adds a token and returns how many characters come before it; all that are one character together begin with it.</summary>
    public int Append(int token)
    {
        ReadOnlySpan<byte> bytes = tokenizer.Decode(Previous, token);
        Previous = token;
        int before = _length;
        _length += _text.Append(token).Length;
        if (!TextStream.IsSafe(bytes))
            return _length; // the text is without it
        return Utf8.IsValid(bytes) ? _length - Encoding.UTF8.GetCharCount(bytes) : before; // U+FFFD may have come before it
    }
}
