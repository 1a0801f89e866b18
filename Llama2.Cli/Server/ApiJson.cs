using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Llama2.Cli.Server;

internal sealed record ErrorBody(ErrorDetail Error);

internal sealed record ErrorText(string Error);

internal sealed record ErrorDetail(string Message, string Type, string? Param, string? Code);

/// <summary>Counts of tokens.</summary>
internal sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens, PromptTokensDetails PromptTokensDetails);

internal sealed record PromptTokensDetails(int CachedTokens);

/// <summary>Counts and times beyond OpenAI's, under llama.cpp's names.</summary>
internal sealed record Timings(
    int CacheN, int PromptN, double PromptMs, double PromptPerTokenMs, double PromptPerSecond, int PredictedN, double PredictedMs,
    double PredictedPerTokenMs, double PredictedPerSecond, double QueuedMs);

/// <summary>OpenAI's answer, or a part of one.</summary>
internal sealed record Completion<TChoice>(
    string Id, string Object, long Created, string Model, string SystemFingerprint, IReadOnlyList<TChoice> Choices,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Usage? Usage,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Timings? Timings);

internal sealed record ChatChoice(int Index, ChatMessage Message, ChatLogProbs? Logprobs, string FinishReason);

internal sealed record ChatMessage(string Role, string Content, string? Refusal = null);

internal sealed record ChatChunkChoice(int Index, ChatDelta Delta, ChatLogProbs? Logprobs, string? FinishReason);

internal sealed record ChatDelta(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Role = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Content = null);

internal sealed record ChatLogProbs(IReadOnlyList<ChatToken> Content, object? Refusal = null);

internal sealed record ChatToken(
    string Token, double Logprob, int[] Bytes, IReadOnlyList<ChatTopToken> TopLogprobs,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Id = null);

internal sealed record ChatTopToken(string Token, double Logprob, int[] Bytes,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Id = null);

internal sealed record CompletionChoice(int Index, string Text, CompletionLogProbs? Logprobs, string? FinishReason);

internal sealed record CompletionLogProbs(
    IReadOnlyList<string> Tokens, IReadOnlyList<double?> TokenLogprobs, IReadOnlyList<Dictionary<string, double>?> TopLogprobs,
    IReadOnlyList<int> TextOffset);

internal sealed record ListOf<T>(string Object, IReadOnlyList<T> Data);

internal sealed record ModelEntry(string Id, string Object, long Created, string OwnedBy, int MaxModelLen, ModelMeta Meta);

internal sealed record ModelMeta(int NVocab, int NCtxTrain, int NEmbd, int NLayer);

internal sealed record EmbeddingList<T>(string Object, IReadOnlyList<EmbeddingEntry<T>> Data, string Model, EmbeddingUsage Usage);

internal sealed record EmbeddingEntry<T>(string Object, int Index, T Embedding);

internal sealed record EmbeddingUsage(int PromptTokens, int TotalTokens);

/// <summary>How the server is, or a job.</summary>
internal sealed record StatusWord(string Status);

internal sealed record ServerVersion(string Version);

internal sealed record TokenCount(int InputTokens);

internal sealed record TokenIds(IReadOnlyList<int> Tokens);

internal sealed record TokenPieces(IReadOnlyList<TokenPiece> Tokens);

/// <summary>Its piece is a string, or numbers where its bytes are no text by themselves.</summary>
internal sealed record TokenPiece(int Id, object Piece);

internal sealed record Detokenized(string Content);

internal sealed record AppliedTemplate(string Prompt, IReadOnlyList<int> Tokens);

internal sealed record Props(
    string ModelAlias, string ChatTemplate, int TotalSlots, string BuildInfo, int NCtx, GenerationSettings DefaultGenerationSettings);

internal sealed record GenerationSettings(int NCtx, double Temperature, double TopP, int TopK, double MinP, double RepeatPenalty);

internal sealed record Slot(int Id, int NCtx, bool IsProcessing, string State, int NPrompt, int NPast, int NDecoded);

internal sealed record SlotSaved(int IdSlot, string Filename, int NSaved, long NWritten, SaveTimings Timings);

internal sealed record SaveTimings(double SaveMs);

internal sealed record SlotRestored(int IdSlot, string Filename, int NRestored, long NRead, RestoreTimings Timings);

internal sealed record RestoreTimings(double RestoreMs);

internal sealed record SlotErased(int IdSlot, int NErased);

/// <summary>Writes the answers, with their fields in snake_case.</summary>
[JsonSerializable(typeof(ErrorBody))]
[JsonSerializable(typeof(ErrorText))]
[JsonSerializable(typeof(Completion<ChatChoice>))]
[JsonSerializable(typeof(Completion<ChatChunkChoice>))]
[JsonSerializable(typeof(Completion<CompletionChoice>))]
[JsonSerializable(typeof(ListOf<ModelEntry>))]
[JsonSerializable(typeof(ModelEntry))]
[JsonSerializable(typeof(EmbeddingList<float[]>))]
[JsonSerializable(typeof(EmbeddingList<string>))]
[JsonSerializable(typeof(StatusWord))]
[JsonSerializable(typeof(ServerVersion))]
[JsonSerializable(typeof(TokenCount))]
[JsonSerializable(typeof(TokenIds))]
[JsonSerializable(typeof(TokenPieces))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(int[]))]
[JsonSerializable(typeof(Detokenized))]
[JsonSerializable(typeof(AppliedTemplate))]
[JsonSerializable(typeof(Props))]
[JsonSerializable(typeof(IReadOnlyList<Slot>))]
[JsonSerializable(typeof(SlotSaved))]
[JsonSerializable(typeof(SlotRestored))]
[JsonSerializable(typeof(SlotErased))]
[JsonSerializable(typeof(LlamaCppAnswer))]
[JsonSerializable(typeof(LlamaCppAnswer[]))]
[JsonSerializable(typeof(OllamaAnswer))]
[JsonSerializable(typeof(OllamaModels))]
[JsonSerializable(typeof(OllamaShow))]
[JsonSerializable(typeof(OllamaEmbeddings))]
[JsonSerializable(typeof(OllamaEmbedding))]
[JsonSerializable(typeof(JobAnswer))]
internal sealed partial class ApiJson : JsonSerializerContext
{
    private static readonly ApiJson Snake = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it is no part of a web page
    });

    private static readonly ApiJson Sparse = new(new JsonSerializerOptions(Snake.Options)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    });

    /// <summary>The same without fields that are null.</summary>
    public static byte[] SparseBytes<T>(T value) => JsonSerializer.SerializeToUtf8Bytes(value, typeof(T), Sparse);

    public static byte[] Bytes<T>(T value) => JsonSerializer.SerializeToUtf8Bytes(value, typeof(T), Snake);
}
