using System.Globalization;
using System.Text.Json;
using Llama2.Fast;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>How tokens are chosen where a request does not say it.</summary>
/// <param name="IsLlamaCpp">
/// Whether values mean what they mean in llama.cpp: a seed of -1 is a new one, a temperature below 0 is 0, an empty stop string is none,
/// and all penalties are about the same tokens.
/// </param>
internal sealed record SamplingDefaults(
    float Temperature, float TopP, int TopK, float RepeatPenalty, int RepeatLastN, float MinP = 0, bool IsLlamaCpp = false)
{
    public static readonly SamplingDefaults OpenAi = new(1, 1, 0, 1, 64), Ollama = new(0.8f, 0.9f, 40, 1.1f, 64),
        LlamaGo = new(0.5f, 0.95f, 40, 1.1f, int.MaxValue), Rllama = new(1, 1, 20, 1, int.MaxValue),
        LlamaCpp = new(0.8f, 0.95f, 40, 1, 64, 0.05f, true);
}

/// <summary>The fields of a request that say how tokens are chosen and what ends the text, of all APIs.</summary>
internal sealed class SamplingFields
{
    private const float Never = float.NegativeInfinity;

    private readonly ServedModel _model;
    private readonly float _temperature, _topP, _minP, _repeatPenalty, _presence, _frequency;
    private readonly int _topK, _repeatLastN;
    private readonly bool _ignoreEos, _isLlamaCpp;
    private readonly ulong _seed;
    private readonly LogitFilter? _bias;
    private readonly string[] _stops;

    /// <summary>Reads the fields; the names beyond OpenAI's are llama.cpp's, and one that is vLLM's and RLLaMA's.</summary>
    public SamplingFields(Fields fields, ServedModel model, SamplingDefaults defaults)
    {
        (_model, _isLlamaCpp) = (model, defaults.IsLlamaCpp);
        fields.Refuse("grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar");
        fields.RefuseUnless( // samplers of llama.cpp and Ollama that this server does not have
            ("mirostat", 0, 0), ("typical_p", 1, double.MaxValue), ("tfs_z", 1, double.MaxValue), ("dynatemp_range", double.MinValue, 0),
            ("dry_multiplier", 0, 0), ("xtc_probability", double.MinValue, 0));
        _temperature = Math.Max(0, (float)(fields.Number("temperature", _isLlamaCpp ? -100 : 0, 100) ?? defaults.Temperature));
        _topP = (float)(fields.Number("top_p", 0, 1) ?? defaults.TopP);
        _topK = (int)(fields.Whole("top_k", -1, int.MaxValue) ?? defaults.TopK);
        _minP = (float)(fields.Number("min_p", 0, 1) ?? defaults.MinP);
        double? ofAll = fields.Number("repetition_penalty", 0.01, 100);
        _repeatPenalty = (float)(fields.Number("repeat_penalty", 0.01, 100) ?? ofAll ?? defaults.RepeatPenalty);
        _repeatLastN = ofAll is not null ? int.MaxValue
            : (int?)fields.Whole("repeat_last_n", -1, int.MaxValue) is { } n ? n < 0 ? int.MaxValue : n : defaults.RepeatLastN;
        _presence = (float)(fields.Number("presence_penalty", -2, 2) ?? 0);
        _frequency = (float)(fields.Number("frequency_penalty", -2, 2) ?? 0);
        _ignoreEos = fields.Flag("ignore_eos");
        long? seed = fields.Whole("seed", long.MinValue, long.MaxValue);
        _seed = unchecked((ulong)(seed is { } given && !(_isLlamaCpp && seed == -1) ? given : Random.Shared.NextInt64(1, long.MaxValue)));
        _bias = Bias(fields);
        _stops = Stops(fields, model.Limits);
    }

    /// <summary>One of the texts that are wanted of a prompt.</summary>
    /// <param name="prompt">All tokens to go on from.</param>
    /// <param name="index">Which; each has a seed of its own.</param>
    /// <param name="stops">More strings that end a text.</param>
    /// <param name="echo">Whether the text begins with the prompt's own.</param>
    public WantedText Text(
        int[] prompt, int maxTokens, string? cacheKey, int index = 0, IEnumerable<string>? stops = null, int? topLogProbs = null,
        bool echo = false)
    {
        int first = !echo ? prompt.Length : prompt[0] == _model.Tokenizer.Bos ? 1 : 0; // of the text
        int previous = first > 0 ? prompt[first - 1] : -1;
        StoppableText text = new(_model.Tokenizer, previous, _stops.Concat(stops ?? []));
        string echoed = string.Concat(prompt.Skip(first).Select(text.AppendPrompt));
        bool isGreedy = _temperature == 0 || _topP == 0; // a nucleus of nothing is that of the likeliest token
        ulong seed = unchecked(_seed + (ulong)index);
        ISampler sampler = _model.CreateSampler(isGreedy ? 0 : _temperature, isGreedy ? 1 : _topP, seed != 0 ? seed : ulong.MaxValue);
        return new(new GenerationRequest(prompt, sampler)
        {
            Filters = Filters(isGreedy, prompt.Length),
            Text = text,
            IsEnd = _model.Tokenizer.IsEnd,
            MaxNewTokens = maxTokens,
            TopLogProbs = topLogProbs,
            PromptLogProbs = echo && topLogProbs is not null,
            CacheKey = cacheKey,
        }, echoed)
        {
            Previous = previous,
        };
    }

    private List<LogitFilter> Filters(bool isGreedy, int promptLength)
    {
        List<LogitFilter> filters = [];
        if (_bias is not null)
            filters.Add(_bias);
        if (_repeatPenalty != 1)
            filters.Add(LogitFilters.RepeatPenalty(_repeatPenalty, _repeatLastN));
        if (_presence != 0 || _frequency != 0)
            filters.Add(_isLlamaCpp ? LogitFilters.CountPenalties(_frequency, _presence, 0, _repeatLastN)
                : LogitFilters.CountPenalties(_frequency, _presence, promptLength));
        if (_ignoreEos)
            filters.Add(LogitFilters.Without([.. _model.Tokenizer.Ends]));
        if (_topK > 0 && !isGreedy)
            filters.Add(FastLogitFilters.TopK(_topK));
        if (_minP > 0 && !isGreedy)
            filters.Add(FastLogitFilters.MinP(_minP));
        return filters;
    }

    // The sums of the biases of each token, which may be named often: so that no body makes more of them than there are tokens.
    private LogitFilter? Bias(Fields fields)
    {
        Dictionary<int, float> sums = [];
        foreach ((int id, float value) in fields["logit_bias"] is { Kind: JsonValueKind.Array }
            ? fields.Array("logit_bias").SelectMany(BiasOfPair) : (fields.Object("logit_bias")?.All ?? []).Select(BiasOfId))
            sums[id] = sums.GetValueOrDefault(id) + value;
        IEnumerable<int> never = sums.Where(sum => sum.Value == Never).Select(sum => sum.Key);
        if (never.Union(_ignoreEos ? _model.Tokenizer.Ends : []).Count() == _model.Config.VocabSize)
            throw ApiException.Invalid("logit_bias: rules out every token", "logit_bias");
        return sums.Count > 0 ? LogitFilters.Bias(sums) : null;
    }

    // OpenAI's "id": number
    private KeyValuePair<int, float> BiasOfId((string Name, JsonElement Value) bias)
    {
        int last = _model.Config.VocabSize - 1;
        bool isId = int.TryParse(bias.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) && id <= last;
        return isId ? new(id, (float)new Field($"logit_bias.{id}", bias.Value).Number(-100, 100))
            : throw ApiException.Invalid($"logit_bias: expected token ids from 0 to {last} as names", "logit_bias");
    }

    // llama.cpp's [id, number], [text, number] for all its tokens, and false for never
    private IEnumerable<KeyValuePair<int, float>> BiasOfPair(Field pair)
    {
        if (pair.Array().ToArray() is not [var token, var bias])
            throw ApiException.Invalid($"{pair.Path}: expected a token and a number", "logit_bias");
        int[] ids = token.Kind == JsonValueKind.String ? _model.Tokenizer.Encode(token.Text(), bos: false, blank: false)
            : [(int)token.Whole(0, _model.Config.VocabSize - 1)];
        float value = bias.Kind == JsonValueKind.False ? Never : (float)bias.Number(-100, 100);
        return ids.Select(id => KeyValuePair.Create(id, value));
    }

    private string[] Stops(Fields fields, RequestLimits limits)
    {
        IEnumerable<string> given = fields["stop"] is { Kind: JsonValueKind.String } one ? [one.Text()]
            : fields.Array("stop").Select(stop => stop.Text());
        string[] stops = [.. given.Where(stop => stop != "" || !_isLlamaCpp)];
        (int most, int longest) = (limits.MaxStops, limits.MaxStopLength);
        if (stops.Length > most || stops.Any(stop => stop.Length == 0 || stop.Length > longest))
            throw ApiException.Invalid($"stop: expected at most {most} strings of 1 to {longest} characters", "stop");
        return stops;
    }
}
