using System.Text.Json.Serialization;

namespace Llama2.Cli.Server;

/// <summary>An answer of /api/generate, which is the response, or of /api/chat, which is a message; or a part of one.</summary>
internal sealed record OllamaAnswer(string Model, DateTime CreatedAt, bool Done)
{
    public ChatDelta? Message { get; init; }
    public string? Response { get; init; }
    public IReadOnlyList<ChatToken>? Logprobs { get; init; }

    // of the last part; durations are in ns
    public string? DoneReason { get; init; }
    public long? TotalDuration { get; init; }
    public long? LoadDuration { get; init; }
    public int? PromptEvalCount { get; init; }
    public long? PromptEvalDuration { get; init; }
    public int? EvalCount { get; init; }
    public long? EvalDuration { get; init; }
}

internal sealed record OllamaModels(IReadOnlyList<OllamaModel> Models);

/// <summary>An entry of /api/tags, or with the last three fields of /api/ps.</summary>
internal sealed record OllamaModel(
    string Name, string Model, DateTime? ModifiedAt, long Size, string Digest, OllamaDetails Details, DateTime? ExpiresAt, long? SizeVram,
    int? ContextLength);

internal sealed record OllamaDetails(
    string ParentModel, string Format, string Family, string[] Families, string ParameterSize, string QuantizationLevel);

internal sealed record OllamaShow(
    string Template, DateTime ModifiedAt, OllamaDetails Details, OllamaModelInfo ModelInfo, string[] Capabilities);

/// <summary>The keys are those of GGUF files.</summary>
internal sealed record OllamaModelInfo(
    [property: JsonPropertyName("general.architecture")] string Architecture,
    [property: JsonPropertyName("general.parameter_count")] long Parameters,
    [property: JsonPropertyName("llama.context_length")] int Context,
    [property: JsonPropertyName("llama.embedding_length")] int Dim,
    [property: JsonPropertyName("llama.block_count")] int Layers,
    [property: JsonPropertyName("llama.feed_forward_length")] int Hidden,
    [property: JsonPropertyName("llama.attention.head_count")] int Heads,
    [property: JsonPropertyName("llama.attention.head_count_kv")] int KvHeads,
    [property: JsonPropertyName("llama.vocab_size")] int Vocabulary);

internal sealed record OllamaEmbeddings(
    string Model, float[][] Embeddings, long TotalDuration, long LoadDuration, int PromptEvalCount);

internal sealed record OllamaEmbedding(float[] Embedding);
