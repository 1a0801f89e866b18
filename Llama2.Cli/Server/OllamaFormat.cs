using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>Ollama's answers: lines of JSON, of which the last has the counts.</summary>
/// <param name="name">The model's name as the client wrote it.</param>
/// <param name="isChat">Whether a text is a message's.</param>
/// <param name="hasLogProbs">Whether its tokens come with their logarithms.</param>
internal sealed class OllamaFormat(ServedModel model, string name, bool isChat, bool hasLogProbs) : TextFormat(model)
{
    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Answers answers) =>
        ApiJson.SparseBytes(Done(texts[0].Text.ToString(), answers) with { Logprobs = LogProbs(texts[0].Tokens) });

    public override byte[]? Next(Piece piece) => piece.Text == "" && piece.Tokens.Count == 0 ? null
        : ApiJson.SparseBytes(Part(piece.Text) with { Logprobs = LogProbs(piece.Tokens) });

    public override byte[] Counts(Answers answers) => ApiJson.SparseBytes(Done("", answers));

    /// <summary>The answer to a request that has nothing to go on from.</summary>
    public byte[] Loaded() => ApiJson.SparseBytes(Part("") with { Done = true, DoneReason = "load" });

    private OllamaAnswer Part(string text) => new(name, DateTime.UtcNow, false)
    {
        Message = isChat ? new ChatDelta("assistant", text) : null,
        Response = isChat ? null : text,
    };

    private OllamaAnswer Done(string text, Answers answers)
    {
        Usage usage = answers.Usage;
        Timings timings = answers.Timings;
        return Part(text) with
        {
            Done = true,
            DoneReason = FinishReason(answers.Generations[0].End!.Value),
            TotalDuration = Nanoseconds(timings.QueuedMs + timings.PromptMs + timings.PredictedMs),
            LoadDuration = 0, // it was loaded before
            PromptEvalCount = usage.PromptTokens,
            PromptEvalDuration = Nanoseconds(timings.PromptMs),
            EvalCount = usage.CompletionTokens,
            EvalDuration = Nanoseconds(timings.PredictedMs),
        };
    }

    private ChatToken[]? LogProbs(IReadOnlyList<TokenLogProbs> tokens) => hasLogProbs ? ChatTokens(tokens) : null;

    private static long Nanoseconds(double milliseconds) => (long)(milliseconds * 1_000_000);
}
