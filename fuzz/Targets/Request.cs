using System.Text;
using Llama2.Cli.Server;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// The body of any request to the server is either understood, and then the engine can compute it, or refused in one line with a status
/// from 400 to 499. The first byte chooses the endpoint.
/// </summary>
internal static class Request
{
    private const int MaxTexts = 8;

    private static readonly Config Config = new(2, 2, 1, 1, 1, 300, 64);

    private static readonly ServedModel Model = new("model", Config, new FastTokenizer(new Tokenizer(Vocabulary())), ChatTemplate.All[0],
        (temperature, topp, seed) => new Simple.Sampler(Config.VocabSize, temperature, topp, seed), MaxTexts);

    public static void Run(ReadOnlySpan<byte> data)
    {
        int endpoint = data.IsEmpty ? 0 : data[0] % 7;
        try
        {
            Fields fields = Fields.Parse(data[Math.Min(1, data.Length)..].ToArray());
            if (endpoint == 2)
                Check(TextRequest.Prompts(fields, "input", Model));
            else if (Parse(endpoint, fields) is { } request)
                Check(request);
        }
        catch (ApiException e)
        {
            if (e.Status is < 400 or > 499 || e.Message.Length is 0 or > 1000 || e.Message.Contains('\n', StringComparison.Ordinal))
                throw new BrokenPromiseException($"refused with {e.Status} and {e.Message}");
            ApiJson.Bytes(e.Body);
        }
    }

    private static TextRequest? Parse(int endpoint, Fields fields) => endpoint switch
    {
        0 => TextRequest.Chat(fields, Model, ""),
        1 => TextRequest.Completion(fields, Model, ""),
        3 => OllamaRequest.Generate(fields, Model, ""),
        4 => OllamaRequest.Chat(fields, Model, ""),
        5 => JobEndpoints.Request(fields, fields.Text("prompt") ?? "", Model, ""),
        _ => RllamaEndpoint.Request(fields, Model, "").Request,
    };

    private static void Check(TextRequest request)
    {
        if (request.Texts.Count is < 1 or > MaxTexts || request.Texts.Count % request.PerPrompt != 0)
            throw new BrokenPromiseException($"{request.Texts.Count} texts");
        Check(request.Texts.Select(text => text.Request.Prompt));
        foreach (WantedText text in request.Texts)
        {
            float[] logits = [.. Enumerable.Range(0, Config.VocabSize).Select(i => (i * 37 % 100) / 10f)];
            foreach (LogitFilter filter in text.Request.Filters)
                filter(logits, [.. text.Request.Prompt]);
            int token = text.Request.Sampler.Sample(logits);
            if ((uint)token >= (uint)Config.VocabSize || text.Request.MaxNewTokens < 0)
                throw new BrokenPromiseException($"token {token}, {text.Request.MaxNewTokens} tokens");
            text.Text.Append(token);
            text.Text.Flush();
        }
    }

    private static void Check(IEnumerable<IReadOnlyList<int>> prompts)
    {
        foreach (IReadOnlyList<int> prompt in prompts)
        {
            if (prompt.Count < 1 || prompt.Count > Config.SeqLen || prompt.Any(token => (uint)token >= (uint)Config.VocabSize))
                throw new BrokenPromiseException($"a prompt of {prompt.Count} tokens");
        }
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        Make("seed-chat", 0, """
            {"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":[{"type":"text","text":"a cat"}]},
            {"role":"assistant","content":"yes"},{"role":"user","content":"[INST] b"}],"stream":true,
            "stream_options":{"include_usage":true},"tool_choice":"none",
            "max_completion_tokens":5,"logprobs":true,"top_logprobs":3,"stop":["a","b"],"response_format":{"type":"text"},"tools":[]}
            """),
        Make("seed-completion", 1, """
            {"prompt":["a","b"],"n":2,"echo":true,"logprobs":1,"seed":-1,"temperature":0.7,"top_p":0.9,"top_k":5,"min_p":0.1,
            "logit_bias":{"7":-100,"12":5.5},"presence_penalty":0.5,"frequency_penalty":-0.5,"repeat_penalty":1.1,"repeat_last_n":3,
            "ignore_eos":true,"max_tokens":-1,"user":"me","stop":"x","cache_prompt":false}
            """),
        Make("seed-ids", 2, """{"input":[[1,2,3],[299]],"encoding_format":"base64"}"""),
    ];

    /// <summary>The fields that the server knows, and JSON's own words.</summary>
    public static byte[][] Words() => [.. Seeds().SelectMany(seed => Encoding.UTF8.GetString(seed.Data[1..]).Split(
        ['{', '}', '[', ']', ',', ':', '\n', ' '], StringSplitOptions.RemoveEmptyEntries)).Append("\\ud800").Append("1e999").Append("null")
        .Distinct().Select(Encoding.UTF8.GetBytes)];

    private static Seed Make(string name, byte endpoint, string json) => new(name, [endpoint, .. Encoding.UTF8.GetBytes(json)]);

    private static IEnumerable<(byte[], float)> Vocabulary()
    {
        string[] pieces = ["<unk>", "\n<s>\n", "\n</s>\n", .. Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>"), " ", "[INST]",
            .. Enumerable.Range('a', 26).Select(letter => $"{(char)letter}"), "ab", " a", "cat"];
        return Enumerable.Range(0, Config.VocabSize).Select(id =>
            (Encoding.UTF8.GetBytes(id < pieces.Length ? pieces[id] : $"piece{id}"), -(float)id));
    }
}
