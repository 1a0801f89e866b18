using Llama2.Cli.Server;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// The body of any request to the server is either understood, and then the engine can compute it, or refused in one line with a status
/// from 400 to 499. The first byte chooses the endpoint.
/// </summary>
internal static class Request
{
    private const int MaxTexts = 8;
    private static readonly Config Config = new(2, 2, 1, 1, 1, 300, 64);

    private static readonly ServedModel Model = new("model", Config, new FastTokenizer(new Tokenizer(Vocabulary())), ChatTemplates.All[0],
        // a request without a seed has a random one, and an input must always do the same
        (temperature, topp, seed) => new Simple.Sampler(Config.VocabSize, temperature, topp, Math.Min(seed, 1)), MaxTexts);

    public static void Run(ReadOnlySpan<byte> data)
    {
        int endpoint = data.IsEmpty ? 0 : data[0] % 8;
        try
        {
            Fields fields = Fields.Parse(data[Math.Min(1, data.Length)..].ToArray(), new ServerOptions().MaxDepth);
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
        6 => RllamaEndpoint.Request(fields, Model, "").Request,
        _ => LlamaCppEndpoint.Request(fields, Model, ""),
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
            text.Request.Text!.Append(token);
            text.Request.Text!.Flush();
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

    private static IEnumerable<(byte[], float)> Vocabulary()
    {
        string[] pieces = ["<unk>", "\n<s>\n", "\n</s>\n", .. Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>"), " ", "[INST]",
            .. Enumerable.Range('a', 26).Select(letter => $"{(char)letter}"), "ab", " a", "cat"];
        return Enumerable.Range(0, Config.VocabSize).Select(id =>
            (Encoding.UTF8.GetBytes(id < pieces.Length ? pieces[id] : $"piece{id}"), -(float)id));
    }
}
