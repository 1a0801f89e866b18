using System.Text;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A whole text of a request.</summary>
internal sealed class CollectedText
{
    public StringBuilder Text { get; } = new();
    public List<TokenLogProbs> Tokens { get; } = [];
    public TextEnd? End { get; set; }
}

/// <summary>How the texts of a request are written: as OpenAI's chat completions or as its older completions.</summary>
internal abstract class TextFormat(string prefix, ServedModel model)
{
    public const string Fingerprint = "llama2-0.1";

    protected string Id { get; } = $"{prefix}-{Guid.NewGuid():N}";
    protected long Created { get; } = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
    protected ServedModel Model => model;

    public abstract byte[] Whole(IReadOnlyList<CollectedText> texts, Usage usage, Timings timings);

    /// <summary>The event before the first piece of a text, if there is one.</summary>
    public abstract byte[]? First(int index);

    public abstract byte[] Next(Piece piece);

    public abstract byte[] Last(int index, TextEnd end, Timings timings);

    public abstract byte[] Counts(Usage usage);

    protected static string FinishReason(TextEnd end) => end is TextEnd.Model or TextEnd.Stop ? "stop" : "length";

    protected ReadOnlySpan<byte> Bytes(int token) => model.Tokenizer.Decode(-1, token);

    // JSON has no infinity; OpenAI writes this number for what is next to impossible.
    protected static double Finite(double logProb) => double.IsFinite(logProb) ? logProb : -9999;
}

/// <summary>chat.completion and chat.completion.chunk.</summary>
internal sealed class ChatFormat(ServedModel model, bool hasLogProbs) : TextFormat("chatcmpl", model)
{
    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Usage usage, Timings timings) => ApiJson.Bytes(new ChatCompletion(
        Id, "chat.completion", Created, Model.Name, Fingerprint,
        [.. texts.Select((text, i) => new ChatChoice(
            i, new("assistant", text.Text.ToString()), LogProbs(text.Tokens), FinishReason(text.End!.Value)))],
        usage, timings));

    public override byte[] First(int index) => Chunk([new(index, new("assistant", ""), null, null)]);

    public override byte[] Next(Piece piece) => Chunk([new(piece.Index, new(Content: piece.Text), LogProbs(piece.Tokens), null)]);

    public override byte[] Last(int index, TextEnd end, Timings timings) =>
        Chunk([new(index, new(), null, FinishReason(end))], timings: timings);

    public override byte[] Counts(Usage usage) => Chunk([], usage);

    private byte[] Chunk(IReadOnlyList<ChatChunkChoice> choices, Usage? usage = null, Timings? timings = null) =>
        ApiJson.Bytes(new ChatChunk(Id, "chat.completion.chunk", Created, Model.Name, Fingerprint, choices, usage, timings));

    private ChatLogProbs? LogProbs(IReadOnlyList<TokenLogProbs> tokens) => hasLogProbs ? new([.. tokens.Select(token => new ChatToken(
        Text(token.Token), Finite(token.LogProb), Numbers(token.Token),
        [.. token.Top.Select(top => new ChatTopToken(Text(top.Token), Finite(top.LogProb), Numbers(top.Token)))]))]) : null;

    private string Text(int token) => Encoding.UTF8.GetString(Bytes(token));

    private int[] Numbers(int token) => Array.ConvertAll(Bytes(token).ToArray(), value => (int)value);
}

/// <summary>text_completion.</summary>
internal sealed class CompletionFormat(ServedModel model, bool hasLogProbs, TextRequest request) : TextFormat("cmpl", model)
{
    private readonly int[] _offsets = new int[request.Texts.Count]; // characters of each text before the next token
    private readonly bool[] _isBegun = new bool[request.Texts.Count];

    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Usage usage, Timings timings) => Part(
        [.. texts.Select((text, i) => new CompletionChoice(
            i, text.Text.ToString(), LogProbs(i, text.Tokens), FinishReason(text.End!.Value)))],
        usage, timings);

    public override byte[]? First(int index) => null;

    public override byte[] Next(Piece piece) => Part([new(piece.Index, piece.Text, LogProbs(piece.Index, piece.Tokens), null)]);

    public override byte[] Last(int index, TextEnd end, Timings timings) =>
        Part([new(index, "", null, FinishReason(end))], timings: timings);

    public override byte[] Counts(Usage usage) => Part([], usage);

    private byte[] Part(IReadOnlyList<CompletionChoice> choices, Usage? usage = null, Timings? timings = null) =>
        ApiJson.Bytes(new Completion(Id, "text_completion", Created, Model.Name, Fingerprint, choices, usage, timings));

    private CompletionLogProbs? LogProbs(int index, IReadOnlyList<TokenLogProbs> tokens)
    {
        if (!hasLogProbs)
            return null;
        List<string> texts = [];
        List<double?> logProbs = [];
        List<Dictionary<string, double>?> tops = [];
        List<int> offsets = [];
        IReadOnlyList<int> prompt = request.Texts[index].Request.Prompt;
        if (!_isBegun[index] && request.Texts[index].Request.PromptLogProbs && prompt[0] != Model.Tokenizer.Bos)
            Add(prompt[0], null, null); // nothing comes before it
        _isBegun[index] = true;
        foreach (TokenLogProbs token in tokens)
        {
            Dictionary<string, double> top = [];
            foreach ((int other, double logProb) in token.Top)
                top.TryAdd(Text(other), Finite(logProb));
            Add(token.Token, Finite(token.LogProb), top);
        }
        return new(texts, logProbs, tops, offsets);

        void Add(int token, double? logProb, Dictionary<string, double>? top)
        {
            texts.Add(Text(token));
            logProbs.Add(logProb);
            tops.Add(top);
            offsets.Add(_offsets[index]);
            _offsets[index] += Encoding.UTF8.GetCharCount(Bytes(token));
        }
    }

    // As OpenAI's, a token that is no text by itself is named by its bytes.
    private string Text(int token)
    {
        ReadOnlySpan<byte> bytes = Bytes(token);
        return System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes)
            : "bytes:" + string.Concat(bytes.ToArray().Select(value => $"\\x{value:x2}"));
    }
}
