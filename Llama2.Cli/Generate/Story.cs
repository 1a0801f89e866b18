using System.Text;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Generate;

/// <summary>A prompt on its way to a text.</summary>
internal sealed class Story
{
    private readonly int? _line;
    private readonly int _promptTokens; // that are fed
    private readonly StringBuilder _text = new();

    /// <param name="sequence">A sequence that may have the first tokens in its cache.</param>
    /// <param name="prompt">All tokens so far, BOS included, or more of them than steps.</param>
    /// <param name="steps">How many tokens to feed, a saved cache's included.</param>
    /// <param name="shown">Tokens that an earlier run has printed.</param>
    public Story(Sequence sequence, ITokenizer tokenizer, PromptTokens prompt, int steps, string[] stops, int shown = 0, int? line = null)
    {
        (Sequence, _line) = (sequence, line);
        int[] tokens = prompt.Ids;
        if (tokens.Length > steps)
            LeftOut = prompt.CutAt(steps);
        _promptTokens = Math.Min(tokens.Length, steps) - sequence.Fed;
        sequence.Append(tokens.AsSpan(sequence.Fed, _promptTokens));
        sequence.MaxNewTokens = Math.Max(0, steps - tokens.Length + 1); // each step feeds one token; the last one samples one more
        sequence.Text = new StoppableText(tokenizer, tokens[shown], stops);
        foreach (int token in tokens[(shown + 1)..Math.Min(tokens.Length, steps + 1)])
            _text.Append(sequence.Text.AppendPrompt(token));
    }

    public Sequence Sequence { get; }
    public string? LeftOut { get; } // says that the prompt is too long
    public string Text => _text.ToString(); // prompt and what was added

    public TextResult Result => new(_line, Text, _promptTokens, Sequence.Sampled, Sequence.End switch
    {
        TextEnd.Model => "end",
        TextEnd.Stop => "stop",
        TextEnd.Cancelled => "cancelled",
        _ => "length",
    });

    public void Add(string text) => _text.Append(text);
}
