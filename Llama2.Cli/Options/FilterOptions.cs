using System.CommandLine;
using System.Globalization;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Options;

/// <summary>Options that run.c has not: filters of logits, and strings that end a text. All are off by default.</summary>
internal sealed class FilterOptions(Command command)
{
    private readonly Option<int?> _topK = command.AddOption<int?>("--top-k", "N", "sample only from the N likeliest tokens");

    private readonly Option<float?> _minP = command.AddOption<float?>(
        "--min-p", "0..1", "only from tokens with at least this fraction of the likeliest one's probability");

    private readonly Option<float?> _repeatPenalty = command.AddOption<float?>(
        "--repeat-penalty", "float", "divides the logits of recent tokens (multiplies negative ones)");

    private readonly Option<int> _repeatLastN = command.AddOption("--repeat-last-n", "N", "how many tokens are recent", () => 64);

    private readonly Option<string[]> _logitBias = command.AddOption<string[]>(
        "--logit-bias", "ID=VALUE", "adds to the logit of a token; -inf rules it out; may be repeated");

    private readonly Option<bool> _ignoreEos = command.AddFlag("--ignore-eos", "never ends a text: neither BOS nor EOS is sampled");

    private readonly Option<string[]> _stop = command.AddOption<string[]>("--stop", "TEXT", "ends the text before this; may be repeated");

    private Option[] All => [_topK, _minP, _repeatPenalty, _repeatLastN, _logitBias, _ignoreEos, _stop];

    /// <summary>The options that were written, with their values.</summary>
    public IEnumerable<string> Given(ParseResult result) =>
        All.Where(result.IsGiven).Select(option => $"{option.Name} {string.Join(' ', result.GetResult(option)!.Tokens)}".TrimEnd());

    /// <summary>The strings that end a text.</summary>
    public string[] Stops(ParseResult result)
    {
        string[] stops = result.GetValue(_stop) ?? [];
        return stops.Contains("") ? throw new UsageException("--stop: an empty text ends every text") : stops;
    }

    /// <summary>The filters before the sampler, in the order they are applied.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="model">Whose tokens a filter can be about.</param>
    /// <param name="greedy">Leaves out those that keep the likeliest token, so that fast need not compute all logits.</param>
    /// <exception cref="UsageException">A value out of its range.</exception>
    public IReadOnlyList<LogitFilter> Filters(ParseResult result, LoadedModel model, bool greedy = false)
    {
        ITokenizer tokenizer = model.Tokenizer;
        List<LogitFilter> filters = [];
        if (result.GetValue(_logitBias) is { Length: > 0 } bias)
            filters.Add(LogitFilters.Bias([.. bias.Select(text => ParseBias(text, tokenizer.VocabSize))]));
        int lastN = result.GetValue(_repeatLastN);
        UsageException.ThrowIf(lastN < 0, $"--repeat-last-n: expected 0 or more, found {lastN}");
        if (result.GetValue(_repeatPenalty) is { } penalty)
        {
            UsageException.ThrowIf(penalty is not (> 0 and < float.PositiveInfinity),
                $"--repeat-penalty: expected more than 0 and less than inf");
            filters.Add(LogitFilters.RepeatPenalty(penalty, lastN));
        }
        if (result.GetValue(_ignoreEos))
            filters.Add(LogitFilters.Without([.. tokenizer.Ends]));
        UsageException.ThrowIf(RuleOutAll(filters, tokenizer), "--logit-bias: rules out every token");
        if (result.GetValue(_topK) is { } k)
        {
            UsageException.ThrowIf(k < 1, $"--top-k: expected 1 or more, found {k}");
            if (!greedy)
                filters.Add(model.TopK(k));
        }
        if (result.GetValue(_minP) is { } p)
        {
            UsageException.ThrowIf(p is not (>= 0 and <= 1), $"--min-p: expected 0 to 1, found {p}");
            if (!greedy)
                filters.Add(model.MinP(p));
        }
        return filters;
    }

    /// <summary>Whether no token is left, whatever its logit: also by biases that add up to negative infinity.</summary>
    private static bool RuleOutAll(List<LogitFilter> filters, ITokenizer tokenizer)
    {
        if (filters.Count == 0)
            return false;
        float[] logits = new float[tokenizer.VocabSize];
        filters.ForEach(filter => filter(logits, []));
        return logits.All(float.IsNegativeInfinity);
    }

    private static KeyValuePair<int, float> ParseBias(string text, int vocabSize)
    {
        string[] parts = text.Split('=');
        UsageException.ThrowIf(parts.Length != 2, $"--logit-bias: {text} is not ID=VALUE");
        bool isId = int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int id) && id < vocabSize;
        UsageException.ThrowIf(!isId, $"--logit-bias {text}: expected an id from 0 to {vocabSize - 1}, found {parts[0]}");
        float? bias = (float?)Numbers.Number(parts[1]);
        UsageException.ThrowIf(bias is not < float.PositiveInfinity, $"--logit-bias {text}: expected a number or -inf, found {parts[1]}");
        return new(id, bias!.Value);
    }
}
