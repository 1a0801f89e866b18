using Llama2.Fast.Engine;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>OpenAI's answers: chat completions or the older completions.</summary>
internal abstract class OpenAiFormat(string prefix, ServedModel model) : TextFormat(model)
{
    public const string Fingerprint = "llama2-0.1";

    private readonly string _id = $"{prefix}-{Guid.NewGuid():N}";
    private readonly long _created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public override string ContentType => Events;
    public override byte[] End => "[DONE]"u8.ToArray();

    public override byte[]? Next(Piece piece) => piece.Text != "" || piece.Tokens.Count > 0 ? Part(piece) : null;

    protected abstract byte[] Part(Piece piece);

    protected byte[] Json<TChoice>(string kind, IReadOnlyList<TChoice> choices, Usage? usage = null, Timings? timings = null) =>
        ApiJson.Bytes(new Completion<TChoice>(_id, kind, _created, Model.Name, Fingerprint, choices, usage, timings));
}

/// <summary>chat.completion and chat.completion.chunk.</summary>
internal sealed class ChatFormat(ServedModel model, bool hasLogProbs) : OpenAiFormat("chatcmpl", model)
{
    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Answers answers) => Json<ChatChoice>("chat.completion",
        [.. texts.Select((text, i) => new ChatChoice(
            i, new("assistant", text.Text.ToString()), LogProbs(text.Tokens), FinishReason(text.End!.Value)))],
        answers.Usage, answers.Timings);

    public override byte[] First(int index) => Chunk([new(index, new("assistant", ""), null, null)]);

    protected override byte[] Part(Piece piece) => Chunk([new(piece.Index, new(Content: piece.Text), LogProbs(piece.Tokens), null)]);

    public override byte[] Last(int index, TextEnd end, Answers answers) =>
        Chunk([new(index, new(), null, FinishReason(end))], timings: answers.Timings);

    public override byte[] Counts(Answers answers) => Chunk([], answers.Usage);

    private byte[] Chunk(IReadOnlyList<ChatChunkChoice> choices, Usage? usage = null, Timings? timings = null) =>
        Json("chat.completion.chunk", choices, usage, timings);

    private ChatLogProbs? LogProbs(IReadOnlyList<TokenLogProbs> tokens) => hasLogProbs ? new(ChatTokens(tokens)) : null;
}

/// <summary>text_completion.</summary>
internal sealed class CompletionFormat(ServedModel model, TextRequest request) : OpenAiFormat("cmpl", model)
{
    private readonly NamedTokens[] _named = [.. request.Texts.Select(text => new NamedTokens(model.Tokenizer, text.Previous))];

    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Answers answers) => Part(
        [.. texts.Select((text, i) => new CompletionChoice(
            i, text.Text.ToString(), LogProbs(i, text.Tokens), FinishReason(text.End!.Value)))],
        answers.Usage, answers.Timings);

    protected override byte[] Part(Piece piece) => Part([new(piece.Index, piece.Text, LogProbs(piece.Index, piece.Tokens), null)]);

    public override byte[] Last(int index, TextEnd end, Answers answers) =>
        Part([new(index, "", null, FinishReason(end))], timings: answers.Timings);

    public override byte[] Counts(Answers answers) => Part([], answers.Usage);

    private byte[] Part(IReadOnlyList<CompletionChoice> choices, Usage? usage = null, Timings? timings = null) =>
        Json("text_completion", choices, usage, timings);

    private CompletionLogProbs? LogProbs(int index, IReadOnlyList<TokenLogProbs> tokens)
    {
        if (!request.HasLogProbs)
            return null;
        List<string> texts = [];
        List<double?> logProbs = [];
        List<Dictionary<string, double>?> tops = [];
        List<int> offsets = [];
        NamedTokens named = _named[index];
        if (request.Texts[index].Request.PromptLogProbs && named.Previous == -1)
            Add(request.Texts[index].Request.Prompt[0], null, null); // nothing comes before it
        foreach (TokenLogProbs token in tokens)
        {
            Dictionary<string, double> top = [];
            foreach ((int other, double logProb) in token.Top)
                top.TryAdd(named.Name(other), Finite(logProb));
            Add(token.Token, Finite(token.LogProb), top);
        }
        return new(texts, logProbs, tops, offsets);

        void Add(int token, double? logProb, Dictionary<string, double>? top)
        {
            texts.Add(named.Name(token));
            logProbs.Add(logProb);
            tops.Add(top);
            offsets.Add(named.Append(token));
        }
    }
}
