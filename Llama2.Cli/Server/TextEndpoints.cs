using Llama2.Simple.Generation;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>/v1/chat/completions and /v1/completions, and how the texts of all APIs are generated and written.</summary>
internal static class TextEndpoints
{
    public static Task ChatAsync(Call call, Fields fields)
    {
        TextRequest request = TextRequest.Chat(fields, call.Model, call.User);
        return AnswerAsync(call, request, new ChatFormat(call.Model, request.HasLogProbs));
    }

    public static Task CompletionAsync(Call call, Fields fields)
    {
        TextRequest request = TextRequest.Completion(fields, call.Model, call.User);
        return AnswerAsync(call, request, new CompletionFormat(call.Model, request));
    }

    /// <summary>Generates the texts of a request and writes them, in parts if it wants them so.</summary>
    public static Task AnswerAsync(Call call, TextRequest request, TextFormat format) => request.Streams
        ? StreamAsync(call, request, format) : GenerateAsync(call, request, answers => WriteWholeAsync(call, answers, format));

    /// <summary>The same in parts.</summary>
    public static Task StreamAsync(Call call, TextRequest request, PartFormat format) =>
        GenerateAsync(call, request, answers => WritePartsAsync(call, answers, format));

    private static async Task GenerateAsync(Call call, TextRequest request, Func<Answers, Task> writeAsync)
    {
        using CancellationTokenSource cancel = call.CreateCancellation();
        try
        {
            await writeAsync(call.Answers = new(call.Engine, request, cancel.Token));
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
            if (piece.LastOfText is { } id && answers.Request.Texts[piece.Index].IsByToken)
                text.Ids.Add(id);
            text.End = piece.End;
        }
        call.ThrowIfCutOff(texts.All(text => text.End is not null));
        await call.WriteJsonAsync(format.Whole(texts, answers));
    }

    private static async Task WritePartsAsync(Call call, Answers answers, PartFormat format)
    {
        bool isEvents = format.ContentType == PartFormat.Events;
        bool[] begun = new bool[answers.Generations.Count];
        int ended = 0;
        call.ThrowIfCutOff(await BeginsAsync(call, answers, isEvents));
        call.BeginStream(format.ContentType);
        while (await answers.Pieces.WaitToReadAsync())
        {
            while (!call.HasManyParts && answers.Pieces.TryRead(out Piece piece))
            {
                call.AddPart(begun[piece.Index] ? null : format.First(piece.Index));
                begun[piece.Index] = true;
                call.AddPart(format.Next(piece));
                if (piece.End is not { } end)
                    continue;
                call.AddPart(format.Last(piece.Index, end, answers));
                ended++;
            }
            await call.SendPartsAsync();
        }
        call.ThrowIfCutOff(ended == begun.Length);
        if (answers.Request.StreamsUsage)
            call.AddPart(format.Counts(answers));
        call.AddPart(format.End);
        await call.SendPartsAsync();
    }

    // Whether there is a first piece; until then an error has a status. A wait that is long for the proxies between here and the client
    // gives that up: an event stream begins with comments, which keep their connections open.
    private static async Task<bool> BeginsAsync(Call call, Answers answers, bool isEvents)
    {
        Task<bool> first = answers.Pieces.WaitToReadAsync().AsTask();
        while (true)
        {
            try
            {
                return await first.WaitAsync(isEvents ? call.Service.Options.PingAfter : Timeout.InfiniteTimeSpan);
            }
            catch (TimeoutException)
            {
                call.BeginStream(PartFormat.Events);
                await call.Http.Response.BodyWriter.WriteAsync(": waiting\n\n"u8.ToArray());
            }
        }
    }
}
