using System.Threading.Channels;
using Llama2.Fast.Engine;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A piece of one of the texts that a request wants.</summary>
/// <param name="Index">Which text.</param>
/// <param name="Text">What is added to it.</param>
/// <param name="Tokens">The logarithms of the tokens that this text is of, where they were asked for.</param>
/// <param name="End">Why it ended with this piece; null while it goes on.</param>
/// <param name="Last">The last token that came; null where none was wanted.</param>
internal readonly record struct Piece(int Index, string Text, IReadOnlyList<TokenLogProbs> Tokens, TextEnd? End, int? Last)
{
    /// <summary>The last token, unless it ended the text: then it is none of it.</summary>
    public int? LastOfText => End == TextEnd.Model ? null : Last;
}

/// <summary>The texts of a request as they come, one piece after the other.</summary>
internal sealed class Answers
{
    private readonly Channel<Piece> _pieces = Channel.CreateUnbounded<Piece>();

    /// <summary>Begins to generate; a cancellation ends the texts with the engine's next step.</summary>
    public Answers(GenerationEngine engine, TextRequest request, CancellationToken cancellation)
    {
        Request = request;
        Generations = engine.Submit([.. request.Texts.Select(text => text.Request)], cancellation);
        _ = MergeAsync();
    }

    public TextRequest Request { get; }
    public IReadOnlyList<Generation> Generations { get; }

    /// <summary>The pieces; completed by the exception of a text that could not be generated.</summary>
    public ChannelReader<Piece> Pieces => _pieces.Reader;

    /// <summary>Counts of what has come so far.</summary>
    public Usage Usage
    {
        get
        {
            int completion = Generations.Sum(AnswerTokens);
            return new(Request.PromptTokens, completion, Request.PromptTokens + completion,
                new(Generations.Where((_, i) => i % Request.PerPrompt == 0).Sum(generation => generation.CachedTokens)));
        }
    }

    public Timings Timings => TimingsOf(Generations);

    /// <summary>The same of some of the texts.</summary>
    public static Timings TimingsOf(params IReadOnlyList<Generation> texts)
    {
        int prompt = texts.Sum(generation => generation.PromptTokens - generation.CachedTokens);
        int predicted = texts.Sum(AnswerTokens);
        double promptMs = texts.Max(generation => generation.Prefill.TotalMilliseconds);
        double predictedMs = texts.Max(generation => generation.Decode.TotalMilliseconds);
        return new(texts.Sum(generation => generation.CachedTokens),
            prompt, Round(promptMs), Round(promptMs / Math.Max(1, prompt)), PerSecond(prompt, promptMs),
            predicted, Round(predictedMs), Round(predictedMs / Math.Max(1, predicted)), PerSecond(predicted, predictedMs),
            Round(texts.Max(generation => generation.Queued.TotalMilliseconds)));
    }

    private static double Round(double value) => Math.Round(value, 3);
    private static double PerSecond(int count, double milliseconds) => milliseconds > 0 ? Round(1000 * count / milliseconds) : 0;

    // The token that ends a text is none of its own.
    private static int AnswerTokens(Generation generation) => generation.SampledTokens - (generation.End == TextEnd.Model ? 1 : 0);

    private async Task MergeAsync()
    {
        try
        {
            await foreach (Task text in Task.WhenEach(Generations.Select((generation, i) => ReadAsync(i, generation, Request.Texts[i]))))
                await text;
            _pieces.Writer.Complete();
        }
        catch (Exception e)
        {
            _pieces.Writer.Complete(e); // the others' rest is not waited for
        }
    }

    private async Task ReadAsync(int index, Generation generation, WantedText wanted)
    {
        List<TokenLogProbs> waiting = []; // whose text has not come yet
        int given = 0;
        bool isEchoed = false;
        string text = wanted.Echo;
        await foreach (GeneratedToken token in generation.ReadAllAsync())
        {
            if (!isEchoed)
                (isEchoed, waiting, given) = (true, [.. generation.PromptLogProbs], -generation.PromptLogProbs.Count);
            text += token.Text;
            if (token is { LogProbs: { } logProbs, End: not TextEnd.Model })
                waiting.Add(logProbs);
            if (text == "" && token.End is null && !wanted.IsByToken)
                continue;
            int count = token.End == TextEnd.Stop ? Math.Max(0, wanted.Request.Text!.TokensShown - given) : waiting.Count;
            given += count;
            _pieces.Writer.TryWrite(new(index, text, [.. waiting.Take(count)], token.End, token.Token));
            (waiting, text) = ([], "");
        }
        if (generation.End is TextEnd.Length && !isEchoed) // no token was wanted
            _pieces.Writer.TryWrite(new(index, text, generation.PromptLogProbs, TextEnd.Length, null));
    }
}
