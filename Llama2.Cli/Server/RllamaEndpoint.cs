using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>RLLaMA's API: a line of JSON for each token, with its probability or, raw, with the logits of all tokens.</summary>
internal static class RllamaEndpoint
{
    private const int NewTokens = 20; // as with RLLaMA where a request does not say it

    public static Task AnswerAsync(Call call, Fields fields)
    {
        (TextRequest request, ObservedSampler sampler) = Request(fields, call.Model, call.User);
        return TextEndpoints.StreamAsync(call, request, new RllamaFormat(call.Model, request, sampler, fields.Flag("no_token_sampling")));
    }

    /// <summary>Reads the body of a request. Fields that RLLaMA does not have, as seed, are those of a completion.</summary>
    /// <exception cref="ApiException">It is not understood, or does not fit in the context.</exception>
    public static (TextRequest Request, ObservedSampler Sampler) Request(Fields fields, ServedModel model, string user)
    {
        fields.Whole("top_k", 1, int.MaxValue);
        int[] prompt = model.Encode(fields.Required("prompt").Text());
        long wanted = fields.Whole("max_new_tokens", 0, int.MaxValue) ?? NewTokens;
        int max = (int)Math.Min(wanted, model.Room(fields, "max_seq_len", prompt));
        bool isRaw = fields.Flag("no_token_sampling");
        long most = model.Limits.MaxLogits / model.Config.VocabSize;
        if (isRaw && Math.Min(max, model.Config.SeqLen) > most)
            throw ApiException.Invalid($"max_new_tokens: expected {most} or less with no_token_sampling, found {wanted}", "max_new_tokens");

        SamplingFields sampling = new(fields, model, SamplingDefaults.Rllama);
        WantedText text = sampling.Text(prompt, max, TextRequest.CacheKey(fields, user));
        ObservedSampler sampler = new(text.Request.Sampler, isRaw);
        bool stops = fields.Flag("stop_at_end_token", otherwise: true);
        GenerationRequest request = text.Request with
        {
            Sampler = sampler,
            Filters = [sampler.See, .. text.Request.Filters],
            IsEnd = stops ? text.Request.IsEnd : static _ => false,
        };
        return (TextRequest.One(text with { Request = request, IsByToken = true }, streams: true), sampler);
    }
}

/// <summary>
/// Lines as {"▁token":{"p":0.5}}. The tokens are named by their pieces in sentencepiece's spelling; of several that are spelled alike a
/// raw line has the first.
/// </summary>
internal sealed class RllamaFormat(ServedModel model, TextRequest request, ObservedSampler sampler, bool isRaw) : PartFormat
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Lazy<SortedDictionary<string, int>> _names = new(() => Names(model.Tokenizer)); // all, in a raw line's order
    private int _position = request.PromptTokens;

    public override byte[]? Next(Piece piece)
    {
        if (piece.Last is not { } token)
            return null;
        using MemoryStream line = new();
        using (Utf8JsonWriter writer = new(line, Options))
        {
            writer.WriteStartObject();
            if (isRaw)
            {
                float[] logits = sampler.TakeLogits(_position);
                foreach ((string name, int id) in _names.Value)
                    Write(writer, name, logits[id], model.Tokenizer.IsEnd(id));
            }
            else
            {
                Write(writer, Name(model.Tokenizer, token), sampler.TakeProbability(_position), piece.End == TextEnd.Model);
            }
            writer.WriteEndObject();
        }
        _position++;
        return line.ToArray();
    }

    private static void Write(Utf8JsonWriter writer, string name, float p, bool isEnd)
    {
        writer.WriteStartObject(name);
        if (float.IsFinite(p))
            writer.WriteNumber("p", p);
        else
            writer.WriteNull("p"); // as Rust's serde_json has a number that is none
        if (isEnd)
            writer.WriteBoolean("is_end_token", true);
        writer.WriteEndObject();
    }

    private static SortedDictionary<string, int> Names(ITokenizer tokenizer)
    {
        SortedDictionary<string, int> names = new(StringComparer.Ordinal);
        for (int id = 0; id < tokenizer.VocabSize; id++)
            names.TryAdd(Name(tokenizer, id), id);
        return names;
    }

    private static string Name(ITokenizer tokenizer, int id)
    {
        string piece = Encoding.UTF8.GetString(tokenizer.Piece(id)).Replace(' ', '▁');
        return tokenizer.IsEnd(id) ? piece.Trim('\n') : piece; // llama2.c's files have line ends around them
    }
}
