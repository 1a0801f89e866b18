using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Prints what a generator generates: as text, as run.c does, or as JSON lines.</summary>
internal sealed class TextPrinter(Tokenizer tokenizer, Session session, Generator generator, string[] stops, bool json, int logProbs)
{
    /// <summary>Prints to the end.</summary>
    /// <param name="tokens">The generator's tokens.</param>
    /// <param name="prompt">The prompt.</param>
    /// <param name="skip">How many of the prompt's tokens, without its first, were printed by an earlier run.</param>
    /// <param name="cancellation">Whether the text was cut short.</param>
    public void Print(IEnumerable<int> tokens, int[] prompt, int skip, CancellationToken cancellation)
    {
        StoppableText text = new(tokenizer, prompt[skip], stops);
        StringBuilder all = new();
        foreach (int token in tokens.Skip(skip))
        {
            bool generated = generator.GeneratedTokens > 0;
            string more = generated ? text.Append(token) : text.AppendPrompt(token);
            if (!json)
                Output.Write(more);
            else if (generated && logProbs > 0)
                Output.WriteLine(ResultJson.Line(Describe(token)));
            all.Append(more);
            if (text.Stopped)
                break;
        }
        string rest = text.Flush();
        if (!json)
        {
            Output.WriteLine(rest);
            return;
        }
        string end = text.Stopped ? "stop" : cancellation.IsCancellationRequested ? "cancelled" : generator.Pending == Tokenizer.Bos ? "end" : "length";
        Output.WriteLine(ResultJson.Line(new TextResult(null, all.Append(rest).ToString(), generator.PromptTokens, generator.GeneratedTokens, end)));
    }

    private TokenResult Describe(int token) => new(token, TextOf(token), LogProbabilities.Of(session.Logits, token),
        [.. LogProbabilities.Top(session.Logits, logProbs).Select(top => new TopToken(top.Token, TextOf(top.Token), top.LogProbability))]);

    private string TextOf(int token) => Encoding.UTF8.GetString(tokenizer.Decode(-1, token));
}

/// <summary>A text of --json or --batch.</summary>
/// <param name="Line">Line of the batch that asked for it, from 1.</param>
/// <param name="Text">The prompt and what was generated.</param>
/// <param name="PromptTokens">Tokens of the prompt that were fed.</param>
/// <param name="GeneratedTokens">Tokens sampled.</param>
/// <param name="End">Why it ended: end (the model said so), stop (a stop string), length (all steps) or cancelled.</param>
internal sealed record TextResult(int? Line, string Text, int PromptTokens, int GeneratedTokens, string End);

/// <summary>A token of --logprobs. Text is U+FFFD where a token is a part of a character; logarithms are natural, of the model's own distribution.</summary>
internal sealed record TokenResult(int Token, string Text, double Logprob, IReadOnlyList<TopToken> Top);

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
