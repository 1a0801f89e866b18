namespace Llama2.Simple;

/// <summary>Tokens to text as they come, up to a stop string; control characters that might command a terminal are left out.</summary>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="previous">The token before the first one.</param>
/// <param name="stops">Strings that end the text.</param>
public sealed class StoppableText(Tokenizer tokenizer, int previous, IEnumerable<string> stops)
{
    private readonly StopMatcher _matcher = new(stops);
    private readonly TextStream _text = new();
    private int _previous = previous;

    /// <summary>Whether a stop string has occurred.</summary>
    public bool Stopped => _matcher.Stopped;

    /// <summary>Bytes of the tokens so far.</summary>
    public int BytesSaid { get; private set; }

    /// <summary>Those that came out as text so far.</summary>
    public int BytesShown { get; private set; }

    /// <summary>The text that certainly belongs to it, now that this token has come.</summary>
    public string Append(int token)
    {
        ReadOnlySpan<byte> piece = Piece(token);
        byte[] certain = _matcher.Append(piece);
        BytesSaid += piece.Length;
        BytesShown += certain.Length;
        return _text.Append(certain);
    }

    /// <summary>The text of a token of a prompt, in which no stop string is looked for.</summary>
    public string AppendPrompt(int token) => _text.Append(Piece(token));

    /// <summary>What was held back, at the end.</summary>
    public string Flush()
    {
        byte[] held = _matcher.Flush();
        BytesShown += held.Length;
        return _text.Append(held) + _text.Flush();
    }

    private ReadOnlySpan<byte> Piece(int token)
    {
        ReadOnlySpan<byte> piece = tokenizer.Decode(_previous, token);
        _previous = token;
        return TextStream.IsSafe(piece) ? piece : [];
    }
}
