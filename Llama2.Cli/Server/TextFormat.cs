using System.Text;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A whole text of a request.</summary>
internal sealed class CollectedText
{
    public StringBuilder Text { get; } = new();
    public List<int> Ids { get; } = []; // of its tokens; only if every token is a piece
    public List<TokenLogProbs> Tokens { get; } = [];
    public TextEnd? End { get; set; }
}

/// <summary>How the texts of a request are written in parts, as they come.</summary>
internal abstract class PartFormat
{
    public const string Events = "text/event-stream", Lines = "application/x-ndjson";

    /// <summary>The type of the answer: <see cref="Events"/>, or lines of JSON.</summary>
    public virtual string ContentType => Lines;

    /// <summary>The part before the first piece of a text, if there is one.</summary>
    public virtual byte[]? First(int index) => null;

    /// <summary>The part of a piece, if it has one.</summary>
    public abstract byte[]? Next(Piece piece);

    /// <summary>The part behind the last piece of a text, if there is one.</summary>
    public virtual byte[]? Last(int index, TextEnd end, Answers answers) => null;

    /// <summary>The part behind all texts where the counts are wanted, if there is one.</summary>
    public virtual byte[]? Counts(Answers answers) => null;

    /// <summary>The part behind all others, if there is one.</summary>
    public virtual byte[]? End => null;
}

/// <summary>How the texts of a request are written, in parts or whole.</summary>
internal abstract class TextFormat(ServedModel model) : PartFormat
{
    protected ServedModel Model => model;

    public abstract byte[] Whole(IReadOnlyList<CollectedText> texts, Answers answers);

    protected static string FinishReason(TextEnd end) => end is TextEnd.Model or TextEnd.Stop ? "stop" : "length";

    protected ChatToken[] ChatTokens(IReadOnlyList<TokenLogProbs> tokens, bool withIds = false) => [.. tokens.Select(token => new ChatToken(
        Text(token.Token), Finite(token.LogProb), Numbers(Bytes(token.Token)),
        [.. token.Top.Select(top => new ChatTopToken(
            Text(top.Token), Finite(top.LogProb), Numbers(Bytes(top.Token)), withIds ? top.Token : null))],
        withIds ? token.Token : null))];

    private string Text(int token) => Encoding.UTF8.GetString(Bytes(token));

    /// <summary>Bytes as JSON is to have them, which else would be base64.</summary>
    public static int[] Numbers(ReadOnlySpan<byte> bytes) => Array.ConvertAll(bytes.ToArray(), value => (int)value);

    private ReadOnlySpan<byte> Bytes(int token) => model.Tokenizer.Decode(-1, token);

    // JSON has no infinity; OpenAI writes this number for what is next to impossible.
    protected static double Finite(double logProb) => double.IsFinite(logProb) ? logProb : -9999;
}
