namespace Llama2.Simple.Text;

/// <summary>Tokens to text as they come, up to a stop string; a token that is one control character adds nothing, as in run.c.</summary>
/// <param name="previous">The token before the first one.</param>
public sealed class StoppableText(ITokenizer tokenizer, int previous, IEnumerable<string> stops)
{
    private readonly StopMatcher _matcher = new(stops);
    private readonly TextStream _text = new();
    private readonly List<int> _begins = []; // the bytes before each token
    private int _previous = previous, _bytes, _bytesShown;

    public bool Stopped => _matcher.Stopped; // whether a stop string has occurred
    public string? Stop => _matcher.Stop;    // which

    /// <summary>How many of the tokens begin before the end of what came out as text.</summary>
    public int TokensShown => _begins.Count(begin => begin < _bytesShown);

    /// <summary>The text that certainly belongs to it, now that this token has come.</summary>
    public string Append(int token)
    {
        _begins.Add(_bytes);
        ReadOnlySpan<byte> piece = Piece(token);
        byte[] certain = _matcher.Append(piece);
        _bytes += piece.Length;
        _bytesShown += certain.Length;
        return _text.Append(certain);
    }

    /// <summary>The text of a token of a prompt, in which no stop string is looked for.</summary>
    public string AppendPrompt(int token) => _text.Append(Piece(token));

    /// <summary>The text that was held back, at the end.</summary>
    public string Flush()
    {
        byte[] held = _matcher.Flush();
        _bytesShown += held.Length;
        return _text.Append(held) + _text.Flush();
    }

    private ReadOnlySpan<byte> Piece(int token)
    {
        ReadOnlySpan<byte> piece = tokenizer.Decode(_previous, token);
        _previous = token;
        return TextStream.IsSafe(piece) ? piece : [];
    }
}
