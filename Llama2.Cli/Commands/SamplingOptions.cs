using System.CommandLine;
using System.Globalization;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>The ways to sample that run.c does not have; all are off unless asked for.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int?> _topK = new("--top-k") { Description = "sample only from the N likeliest tokens", HelpName = "N" };
    private readonly Option<float?> _minP = new("--min-p") { Description = "only from tokens with at least this fraction of the likeliest one's probability", HelpName = "0..1" };
    private readonly Option<float?> _repeatPenalty = new("--repeat-penalty") { Description = "divides the logits of recent tokens (multiplies negative ones)", HelpName = "float" };
    private readonly Option<int> _repeatLastN = new("--repeat-last-n") { Description = "how many tokens are recent", HelpName = "N", DefaultValueFactory = _ => 64 };
    private readonly Option<string[]> _logitBias = new("--logit-bias") { Description = "adds to the logit of a token; -inf rules it out; may be repeated", HelpName = "ID=VALUE", Arity = ArgumentArity.OneOrMore };
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "never ends a text: neither BOS nor EOS is sampled" };
    private readonly Option<string[]> _stop = new("--stop") { Description = "ends the text before this; may be repeated", HelpName = "TEXT", Arity = ArgumentArity.OneOrMore };

    private Option[] All => [_topK, _minP, _repeatPenalty, _repeatLastN, _logitBias, _ignoreEos, _stop];

    public void AddTo(Command command)
    {
        foreach (Option option in All)
            command.Add(option);
    }

    public bool Contains(Option option) => All.Contains(option);

    /// <summary>The strings that end a text.</summary>
    public string[] Stops(ParseResult result)
    {
        string[] stops = result.GetValue(_stop) ?? [];
        return stops.Contains("") ? throw new UsageException("--stop: an empty text ends every text") : stops;
    }

    /// <summary>What goes before the sampler, in the order it is applied.</summary>
    /// <exception cref="UsageException">A value out of its range.</exception>
    public IReadOnlyList<LogitFilter> Filters(ParseResult result, int vocabSize)
    {
        List<LogitFilter> filters = [];
        if (result.GetValue(_logitBias) is { Length: > 0 } bias)
            filters.Add(LogitFilters.Bias([.. bias.Select(text => ParseBias(text, vocabSize))]));
        if (result.GetValue(_repeatPenalty) is { } penalty)
        {
            int lastN = result.GetValue(_repeatLastN);
            Require(penalty > 0, "--repeat-penalty", "more than 0", penalty);
            Require(lastN >= 0, "--repeat-last-n", "0 or more", lastN);
            filters.Add(LogitFilters.RepeatPenalty(penalty, lastN));
        }
        if (result.GetValue(_ignoreEos))
            filters.Add(LogitFilters.Without(Tokenizer.Bos, Tokenizer.Eos));
        if (result.GetValue(_topK) is { } k)
        {
            Require(k >= 1, "--top-k", "1 or more", k);
            filters.Add(LogitFilters.TopK(k));
        }
        if (result.GetValue(_minP) is { } p)
        {
            Require(p is >= 0 and <= 1, "--min-p", "0 to 1", p);
            filters.Add(LogitFilters.MinP(p));
        }
        return filters;
    }

    private static KeyValuePair<int, float> ParseBias(string text, int vocabSize)
    {
        string[] parts = text.Split('=');
        string value = parts.Length == 2 ? parts[1].Replace("inf", "Infinity", StringComparison.Ordinal) : "";
        if (int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int id) && id < vocabSize
            && float.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out float bias) && bias < float.PositiveInfinity)
            return new(id, bias);
        throw new UsageException($"--logit-bias: {text} is not ID=VALUE with an id from 0 to {vocabSize - 1}");
    }

    private static void Require(bool holds, string option, string expected, object found)
    {
        if (!holds)
            throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"{option}: expected {expected}, found {found}"));
    }
}
