using Llama2.Fast.Engine;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>
/// llama.cpp's own /completion. Fields that change no text, as id_slot and n_keep, are ignored; those that would are read or refused.
/// Of a field with several names there, as n_cmpl and n, the first that is given counts.
/// </summary>
internal static class LlamaCppEndpoint
{
    public static Task AnswerAsync(Call call, Fields fields)
    {
        TextRequest request = Request(fields, call.Model, call.User);
        return TextEndpoints.AnswerAsync(call, request, new LlamaCppFormat(call.Model, request, fields.Flag("return_tokens")));
    }

    /// <summary>Reads the body of a request.</summary>
    /// <exception cref="ApiException">It is not understood, or asks for something that this server does not do.</exception>
    public static TextRequest Request(Fields fields, ServedModel model, string user)
    {
        fields.Refuse("samplers", "lora", "post_sampling_probs", "image_data", "system_prompt", "banned_strings", "banned_regex");
        fields.RefuseUnless(("top_n_sigma", double.MinValue, 0), ("adaptive_target", double.MinValue, -double.Epsilon), ("min_keep", 0, 1),
            ("n_indent", 0, 0), ("t_max_predict_ms", double.MinValue, 0));
        SamplingFields sampling = new(fields, model, SamplingDefaults.LlamaCpp);
        int max = TextRequest.MaxTokens(fields, "n_predict", min: 0) ?? TextRequest.MaxTokens(fields, "max_completion_tokens", min: 0)
            ?? TextRequest.MaxTokens(fields, "max_tokens", min: 0) ?? int.MaxValue;
        int most = model.Limits.MaxLogProbs;
        long top = fields.Whole("n_probs", 0, most) ?? fields.Whole("logprobs", 0, most) ?? 0;
        int count = (int)(fields.Whole("n_cmpl", 1, model.MaxTexts) ?? fields.Whole("n", 1, model.MaxTexts) ?? 1);
        int[][] prompts = TextRequest.Prompts(fields, "prompt", model);
        TextRequest.CheckCount(prompts.Length * (long)count, "n_cmpl", model);
        string? key = TextRequest.CacheKey(fields, user);
        return TextRequest.Create(fields, prompts, count,
            (prompt, i) => sampling.Text(prompt, max, key, i, topLogProbs: top > 0 ? (int)top : null) with { IsByToken = true });
    }
}

/// <summary>An answer, or an array of them where several texts were wanted; or an event for each token and one for the end.</summary>
internal sealed class LlamaCppFormat(ServedModel model, TextRequest request, bool returnsTokens) : TextFormat(model)
{
    public override string ContentType => Events;

    public override byte[] Whole(IReadOnlyList<CollectedText> texts, Answers answers)
    {
        LlamaCppAnswer[] all = [.. texts.Select((text, i) => Ended(i, text.End!.Value, answers) with
        {
            Content = text.Text.ToString(),
            Tokens = returnsTokens ? text.Ids : [],
            CompletionProbabilities = Probabilities(text.Tokens),
        })];
        return all is [var one] ? ApiJson.SparseBytes(one) : ApiJson.SparseBytes(all);
    }

    public override byte[]? Next(Piece piece)
    {
        IReadOnlyList<int> tokens = piece.LastOfText is { } last ? [last] : [];
        return tokens.Count == 0 && piece.Text == "" ? null
            : ApiJson.SparseBytes(new LlamaCppAnswer(piece.Index, piece.Text, tokens, false, Probabilities(piece.Tokens)));
    }

    public override byte[] Last(int index, TextEnd end, Answers answers) => ApiJson.SparseBytes(Ended(index, end, answers));

    private LlamaCppAnswer Ended(int index, TextEnd end, Answers answers)
    {
        Timings timings = Answers.TimingsOf(answers.Generations[index]);
        GenerationRequest text = request.Texts[index].Request;
        string type = end switch { TextEnd.Model => "eos", TextEnd.Stop => "word", _ => "limit" };
        return new(index, "", [], true, null, Model.Name, Model.Tokenizer.Decode([.. text.Prompt]), timings.PredictedN, text.Prompt.Count,
            timings.CacheN, end == TextEnd.Context, type, text.Text!.Stop ?? "", timings);
    }

    private ChatToken[]? Probabilities(IReadOnlyList<TokenLogProbs> tokens) => request.HasLogProbs ? ChatTokens(tokens, true) : null;
}

/// <summary>An answer of /completion; a part that is not the last one has the first five fields.</summary>
internal sealed record LlamaCppAnswer(
    int Index, string Content, IReadOnlyList<int> Tokens, bool Stop, IReadOnlyList<ChatToken>? CompletionProbabilities,
    string? Model = null, string? Prompt = null, int? TokensPredicted = null, int? TokensEvaluated = null, int? TokensCached = null,
    bool? Truncated = null, string? StopType = null, string? StoppingWord = null, Timings? Timings = null);
