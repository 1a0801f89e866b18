using System.Globalization;
using System.Text.Json;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>The fields of a request that say how tokens are chosen and what ends the text, of both of OpenAI's endpoints.</summary>
internal sealed class SamplingFields
{
    private const int MaxStops = 16, MaxStopLength = 1000;

    private readonly ServedModel _model;
    private readonly float _temperature, _topP, _minP, _repeatPenalty, _presence, _frequency;
    private readonly int _topK, _repeatLastN;
    private readonly bool _ignoreEos;
    private readonly ulong _seed;
    private readonly List<KeyValuePair<int, float>> _bias = [];
    private readonly string[] _stops;

    /// <summary>Reads the fields; the names beyond OpenAI's are llama.cpp's.</summary>
    public SamplingFields(Fields fields, ServedModel model)
    {
        _model = model;
        fields.Refuse("grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "mirostat");
        _temperature = (float)(fields.Number("temperature", 0, 100) ?? 1);
        _topP = (float)(fields.Number("top_p", 0, 1) ?? 1);
        _topK = (int)(fields.Whole("top_k", 0, int.MaxValue) ?? 0);
        _minP = (float)(fields.Number("min_p", 0, 1) ?? 0);
        _repeatPenalty = (float)(fields.Number("repeat_penalty", 0.01, 100) ?? 1);
        _repeatLastN = (int)(fields.Whole("repeat_last_n", 0, int.MaxValue) ?? 64);
        _presence = (float)(fields.Number("presence_penalty", -2, 2) ?? 0);
        _frequency = (float)(fields.Number("frequency_penalty", -2, 2) ?? 0);
        _ignoreEos = fields.Flag("ignore_eos");
        _seed = unchecked((ulong)(fields.Whole("seed", long.MinValue, long.MaxValue) ?? Random.Shared.NextInt64(1, long.MaxValue)));
        Count = (int)(fields.Whole("n", 1, model.MaxTexts) ?? 1);
        foreach ((string name, JsonElement value) in fields.Object("logit_bias")?.All ?? [])
        {
            bool isId = int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) && id < model.Config.VocabSize;
            if (!isId)
                throw ApiException.Invalid($"logit_bias: expected token ids from 0 to {model.Config.VocabSize - 1} as names", "logit_bias");
            _bias.Add(new(id, (float)Fields.Number(value, $"logit_bias.{id}", -100, 100)));
        }
        _stops = Stops(fields);
    }

    public int Count { get; } // of texts for each prompt

    /// <summary>A request for each text that is wanted of a prompt.</summary>
    /// <param name="prompt">All tokens to go on from.</param>
    /// <param name="stops">More strings that end a text.</param>
    /// <param name="echo">Whether the text begins with the prompt's own.</param>
    public IEnumerable<(GenerationRequest Request, StoppableText Text, string Echo)> Requests(
        int[] prompt, IEnumerable<string> stops, int maxTokens, string? cacheKey, int? topLogProbs, bool echo = false)
    {
        for (int i = 0; i < Count; i++)
        {
            StoppableText text = new(_model.Tokenizer, echo ? prompt[0] : prompt[^1], _stops.Concat(stops));
            string echoed = echo ? string.Concat(prompt.Skip(1).Select(text.AppendPrompt)) : "";
            bool isGreedy = _temperature == 0 || _topP == 0; // a nucleus of nothing is that of the likeliest token
            ulong seed = unchecked(_seed + (ulong)i);
            ISampler sampler = _model.CreateSampler(isGreedy ? 0 : _temperature, isGreedy ? 1 : _topP, seed != 0 ? seed : ulong.MaxValue);
            yield return (new GenerationRequest(prompt, sampler)
            {
                Filters = Filters(isGreedy, prompt.Length),
                Text = text,
                IsEnd = _model.Tokenizer.IsEnd,
                MaxNewTokens = maxTokens,
                TopLogProbs = topLogProbs,
                PromptLogProbs = echo && topLogProbs is not null,
                CacheKey = cacheKey,
            }, text, echoed);
        }
    }

    private List<LogitFilter> Filters(bool isGreedy, int promptLength)
    {
        List<LogitFilter> filters = [];
        if (_bias.Count > 0)
            filters.Add(LogitFilters.Bias(_bias));
        if (_repeatPenalty != 1)
            filters.Add(LogitFilters.RepeatPenalty(_repeatPenalty, _repeatLastN));
        if (_presence != 0 || _frequency != 0)
            filters.Add(LogitFilters.CountPenalties(_frequency, _presence, promptLength));
        if (_ignoreEos)
            filters.Add(LogitFilters.Without([.. _model.Tokenizer.Ends]));
        if (_topK > 0 && !isGreedy)
            filters.Add(LogitFilters.TopK(_topK));
        if (_minP > 0 && !isGreedy)
            filters.Add(LogitFilters.MinP(_minP));
        return filters;
    }

    private static string[] Stops(Fields fields)
    {
        string[] stops = fields.Value("stop") is { ValueKind: JsonValueKind.String } one ? [Fields.Text(one, "stop")]
            : [.. fields.Array("stop").Select(stop => Fields.Text(stop.Value, stop.Path))];
        if (stops.Length > MaxStops || stops.Any(stop => stop.Length is 0 or > MaxStopLength))
            throw ApiException.Invalid($"stop: expected at most {MaxStops} strings of 1 to {MaxStopLength} characters", "stop");
        return stops;
    }
}
