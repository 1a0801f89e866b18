using Llama2.Simple.Generation;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>/v1/chat/completions and /v1/completions.</summary>
internal static class TextEndpoints
{
    public static async Task ChatAsync(Call call)
    {
        Fields fields = await call.ReadAsync();
        TextRequest request = TextRequest.Chat(fields, call.Model, call.User);
        await AnswerAsync(call, request, new ChatFormat(call.Model, HasLogProbs(request)));
    }

    public static async Task CompletionAsync(Call call)
    {
        Fields fields = await call.ReadAsync();
        TextRequest request = TextRequest.Completion(fields, call.Model, call.User);
        await AnswerAsync(call, request, new CompletionFormat(call.Model, HasLogProbs(request), request));
    }

    private static bool HasLogProbs(TextRequest request) => request.Texts[0].Request.TopLogProbs is not null;

    private static async Task AnswerAsync(Call call, TextRequest request, TextFormat format)
    {
        using CancellationTokenSource cancel = call.CreateCancellation();
        try
        {
            Answers answers = call.Answers = new(call.Engine, request, cancel.Token);
            if (request.Streams)
                await StreamAsync(call, answers, format);
            else
                await WriteWholeAsync(call, answers, format);
        }
        finally
        {
            await cancel.CancelAsync(); // texts that still go on are for nobody
        }
    }

    private static async Task WriteWholeAsync(Call call, Answers answers, TextFormat format)
    {
        CollectedText[] texts = [.. answers.Generations.Select(_ => new CollectedText())];
        await foreach (Piece piece in answers.Pieces.ReadAllAsync())
        {
            CollectedText text = texts[piece.Index];
            text.Text.Append(piece.Text);
            text.Tokens.AddRange(piece.Tokens);
            text.End = piece.End;
        }
        call.ThrowIfCutOff(texts.All(text => text.End is not null));
        await call.WriteJsonAsync(format.Whole(texts, answers.Usage, answers.Timings));
    }

    private static async Task StreamAsync(Call call, Answers answers, TextFormat format)
    {
        bool[] begun = new bool[answers.Generations.Count];
        int ended = 0;
        if (!await answers.Pieces.WaitToReadAsync()) // an error before the first token has a status
            call.ThrowIfCutOff(isWhole: false);
        call.BeginEvents();
        while (await answers.Pieces.WaitToReadAsync())
        {
            while (answers.Pieces.TryRead(out Piece piece))
            {
                if (!begun[piece.Index] && format.First(piece.Index) is { } first)
                    call.WriteEvent(first);
                begun[piece.Index] = true;
                if (piece.Text != "" || piece.Tokens.Count > 0)
                    call.WriteEvent(format.Next(piece));
                if (piece.End is not { } end)
                    continue;
                call.WriteEvent(format.Last(piece.Index, end, answers.Timings));
                ended++;
            }
            await call.Http.Response.BodyWriter.FlushAsync();
        }
        call.ThrowIfCutOff(ended == begun.Length);
        if (answers.Request.StreamsUsage)
            call.WriteEvent(format.Counts(answers.Usage));
        call.WriteEvent("[DONE]"u8);
        await call.Http.Response.BodyWriter.FlushAsync();
    }
}
