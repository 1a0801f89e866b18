using System.Text.Json;
using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>A text that a request wants.</summary>
/// <param name="Request">For the engine.</param>
/// <param name="Echo">The prompt's text, if the answer is to begin with it.</param>
internal sealed record WantedText(GenerationRequest Request, string Echo)
{
    public int Previous { get; init; }   // the token before the first one of the text, or -1
    public bool IsByToken { get; init; } // whether each token is a piece of the answer, even one that is no text by itself
}

/// <summary>A request for texts, understood.</summary>
/// <param name="Texts">All of them, those of the first prompt first.</param>
/// <param name="PerPrompt">How many of a prompt.</param>
/// <param name="Streams">Whether the answer comes in parts.</param>
/// <param name="StreamsUsage">Whether the counts are a part of their own.</param>
internal sealed record TextRequest(IReadOnlyList<WantedText> Texts, int PerPrompt, bool Streams, bool StreamsUsage)
{
    public int PromptTokens => Texts.Where((_, i) => i % PerPrompt == 0).Sum(text => text.Request.Prompt.Count); // each prompt counted once
    public bool HasLogProbs => Texts[0].Request.TopLogProbs is not null;

    /// <summary>Reads the body of POST /v1/completions.</summary>
    /// <param name="user">The caller: the prefix cache is shared only by requests of one user.</param>
    /// <exception cref="ApiException">It is not understood, or asks for something that this server does not do.</exception>
    public static TextRequest Completion(Fields fields, ServedModel model, string user)
    {
        fields.Refuse("suffix", "response_format");
        SamplingFields sampling = new(fields, model, SamplingDefaults.OpenAi);
        int count = Count(fields, model);
        int? logProbs = (int?)fields.Whole("logprobs", 0, model.Limits.MaxLogProbs);
        bool echo = fields.Flag("echo");
        int maxTokens = MaxTokens(fields, "max_tokens", min: 0) ?? 16;
        if (fields.Whole("best_of", 1, int.MaxValue) is { } best && best != count)
            throw Unsupported("best_of", "expected the same as n, since texts are not ranked");
        int[][] prompts = Prompts(fields, "prompt", model);
        CheckCount(prompts.Length * (long)count, "n", model);
        string? key = CacheKey(fields, user);
        return Create(fields, prompts, count, (prompt, i) => sampling.Text(prompt, maxTokens, key, i, null, logProbs, echo));
    }

    /// <summary>Reads the body of POST /v1/chat/completions.</summary>
    /// <param name="user">The caller, as for completions.</param>
    /// <exception cref="ApiException">It is not understood, or asks for something that this server does not do.</exception>
    public static TextRequest Chat(Fields fields, ServedModel model, string user)
    {
        fields.Refuse("tools", "functions", "audio");
        if (fields.Object("response_format") is { } format && format.Text("type") != "text")
            throw Unsupported("response_format", "only text is supported by this server");
        bool isObject = fields["tool_choice"] is { Kind: not JsonValueKind.String };
        if (isObject || fields.Text("tool_choice") is not (null or "none" or "auto"))
            throw Unsupported("tool_choice", "this server has no tools");
        SamplingFields sampling = new(fields, model, SamplingDefaults.OpenAi);
        int? top = TopLogProbs(fields, model);
        int maxTokens = MaxTokens(fields, "max_completion_tokens", min: 1) ?? MaxTokens(fields, "max_tokens", min: 1) ?? int.MaxValue;
        int[] prompt = ChatPrompt.Encode(fields.Array("messages"), model);
        string? key = CacheKey(fields, user);
        return Create(fields, [prompt], Count(fields, model),
            (prompt, i) => sampling.Text(prompt, maxTokens, key, i, model.Template.Stops, top));
    }

    /// <summary>A request for one text.</summary>
    public static TextRequest One(WantedText text, bool streams) => new([text], 1, streams, streams);

    /// <summary>How many likeliest tokens a chat wants with each token, or null for no logarithms.</summary>
    public static int? TopLogProbs(Fields fields, ServedModel model)
    {
        bool hasLogProbs = fields.Flag("logprobs");
        int? top = (int?)fields.Whole("top_logprobs", 0, model.Limits.MaxLogProbs);
        if (top is not null && !hasLogProbs)
            throw ApiException.Invalid("top_logprobs: expected logprobs to be true", "top_logprobs");
        return hasLogProbs ? top ?? 0 : null;
    }

    /// <summary>The prompts of a field: a string, token ids, or an array of strings or of arrays of ids.</summary>
    public static int[][] Prompts(Fields fields, string name, ServedModel model)
    {
        Field field = fields.Required(name);
        if (field.Kind == JsonValueKind.String)
            return [model.Encode(field.Text())];
        if (field.Kind != JsonValueKind.Array)
            throw field.Wrong("a string or an array");
        if (field.Value.GetArrayLength() == 0)
            throw ApiException.Invalid($"{name}: expected at least one text or token", name);
        JsonValueKind first = field.Value[0].ValueKind;
        if (first == JsonValueKind.Number)
            return [Ids(field, model)];
        CheckCount(field.Value.GetArrayLength(), name, model);
        return [.. field.Array().Select(element => first == JsonValueKind.Array ? Ids(element, model) : model.Encode(element.Text()))];
    }

    private static int[] Ids(Field field, ServedModel model)
    {
        IEnumerable<Field> ids = field.Array();
        model.CheckCount(field.Value.GetArrayLength()); // before millions of them are read
        return field.Value.GetArrayLength() > 0 ? [.. ids.Select(id => (int)id.Whole(0, model.Config.VocabSize - 1))]
            : throw ApiException.Invalid($"{field.Path}: expected at least one token", field.Path);
    }

    private static ApiException Unsupported(string name, string problem) =>
        ApiException.Invalid($"{name}: {problem}", name, "unsupported_parameter");

    /// <summary>Refuses more texts than one request may ask for.</summary>
    public static void CheckCount(long texts, string name, ServedModel model)
    {
        if (texts > model.MaxTexts)
            throw ApiException.Invalid($"{name}: {texts} texts in one request, and this server takes {model.MaxTexts} at once", name);
    }

    private static int Count(Fields fields, ServedModel model) => (int)(fields.Whole("n", 1, model.MaxTexts) ?? 1);

    /// <summary>A request for a number of texts of each prompt.</summary>
    public static TextRequest Create(Fields fields, int[][] prompts, int count, Func<int[], int, WantedText> text)
    {
        bool streams = fields.Flag("stream");
        bool usage = fields.Object("stream_options") is { } options && options.Flag("include_usage");
        if (usage && !streams)
            throw ApiException.Invalid("stream_options: expected stream to be true", "stream_options");
        WantedText[] texts = [.. prompts.SelectMany(prompt => Enumerable.Range(0, count).Select(i => text(prompt, i)))];
        return new(texts, count, streams, usage);
    }

    /// <summary>How many tokens an answer may have: as in llama.cpp, -1 is all that the context holds.</summary>
    public static int? MaxTokens(Fields fields, string name, int min)
    {
        long? count = fields.Whole(name, -1, int.MaxValue);
        return count == -1 ? int.MaxValue : count >= min || count is null ? (int?)count
            : throw ApiException.Invalid($"{name}: expected {min} or more, found {count}", name);
    }

    /// <summary>The key of texts of callers who have none and name none.</summary>
    public const string Anybody = "\n";

    /// <summary>Who may share keys and values with this request: the same caller, and for it the same of those whom it serves.</summary>
    public static string SharedKey(Fields fields, string user) =>
        $"{user}\n{fields.Text("prompt_cache_key") ?? fields.Text("safety_identifier") ?? fields.Text("user")}";

    /// <summary>Whose kept caches a request may begin with, or null for nobody's.</summary>
    public static string? CacheKey(Fields fields, string user)
    {
        string key = SharedKey(fields, user);
        return fields.Flag("cache_prompt", otherwise: true) ? key : null;
    }
}
