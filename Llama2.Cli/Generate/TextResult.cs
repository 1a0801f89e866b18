using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Generate;

/// <summary>A text of --json or --batch.</summary>
/// <param name="Line">Line of the prompt in the batch, from 1.</param>
/// <param name="PromptTokens">Tokens of the prompt that were fed.</param>
/// <param name="GeneratedTokens">Tokens sampled.</param>
/// <param name="End">end (the model ended it), stop (a stop string), length (all steps) or cancelled.</param>
internal sealed record TextResult(int? Line, string Text, int PromptTokens, int GeneratedTokens, string End);

/// <summary>A token of --logprobs. Text is U+FFFD where a token is a part of a character; logarithms are natural.</summary>
internal sealed record TokenResult(int Token, string Text, double Logprob, IReadOnlyList<TopToken> Top)
{
    /// <summary>The token sampled last and the likeliest ones, in the model's own distribution.</summary>
    public static TokenResult Of(Sequence sequence, ITokenizer tokenizer, int count)
    {
        int token = sequence.LastSampled;
        var top = LogProbabilities.Top(sequence.Logits, count);
        return new TokenResult(token, TextOf(token), LogProbabilities.Of(sequence.Logits, token),
            [.. top.Select(other => new TopToken(other.Token, TextOf(other.Token), other.LogProbability))]);

        string TextOf(int token) => Encoding.UTF8.GetString(tokenizer.Decode(-1, token));
    }
}

internal sealed record TopToken(int Token, string Text, double Logprob);

[JsonSerializable(typeof(TextResult))]
[JsonSerializable(typeof(TokenResult))]
internal sealed partial class ResultJson : JsonSerializerContext
{
    private static readonly ResultJson Readable = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // for people to read: only what JSON demands is escaped
    });

    public static string Line<T>(T value) => JsonSerializer.Serialize(value, typeof(T), Readable);
}
