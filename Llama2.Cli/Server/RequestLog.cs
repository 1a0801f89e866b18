using System.Globalization;
using Llama2.Cli.Terminal;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A line on stderr for each request: what it took and why it ended, never its text.</summary>
internal static class RequestLog
{
    public static void Write(Call call)
    {
        string line = $"request id={call.Id} path={call.Route} status={Status(call)}";
        if (call.Answers is { } answers)
        {
            Usage usage = answers.Usage;
            Timings timings = answers.Timings;
            line += string.Create(CultureInfo.InvariantCulture, $" prompt={usage.PromptTokens} cached={timings.CacheN} "
                + $"generated={usage.CompletionTokens} queued_ms={timings.QueuedMs:F1} prompt_ms={timings.PromptMs:F1} "
                + $"generation_ms={timings.PredictedMs:F1}");
        }
        else if (call.EmbeddedTokens > 0)
        {
            line += string.Create(CultureInfo.InvariantCulture, $" prompt={call.EmbeddedTokens}");
        }
        line += string.Create(CultureInfo.InvariantCulture, $" total_ms={call.Elapsed.TotalMilliseconds:F1} end={End(call)}");
        Notes.Write(line);
    }

    // nginx's number for a client that has left
    private static int Status(Call call) => call.Failure == "disconnect" ? 499 : call.Http.Response.StatusCode;

    /// <summary>Why it ended: the ends of its texts, or what went wrong.</summary>
    public static string End(Call call) => call.Failure ?? (call.Answers is null ? "done" : string.Join(',',
        call.Answers.Generations.Select(generation => generation.End switch
        {
            TextEnd.Model => "model",
            TextEnd.Stop => "stop",
            TextEnd.Length => "length",
            TextEnd.Context => "context",
            _ => "cancelled",
        }).Distinct()));
}
