using System.Globalization;
using Llama2.Cli.Terminal;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A line on stderr for each request and job: what it took and why it ended, never its text.</summary>
internal static class RequestLog
{
    public static void Write(CountedWork work)
    {
        string line = $"request id={work.Id} path={work.Route} status={work.Status}";
        if (work.Answers is { } answers)
        {
            Usage usage = answers.Usage;
            Timings timings = answers.Timings;
            line += string.Create(CultureInfo.InvariantCulture, $" prompt={usage.PromptTokens} cached={timings.CacheN} "
                + $"generated={usage.CompletionTokens} queued_ms={timings.QueuedMs:F1} prompt_ms={timings.PromptMs:F1} "
                + $"generation_ms={timings.PredictedMs:F1}");
        }
        else if (work.EmbeddedTokens > 0)
        {
            line += $" prompt={work.EmbeddedTokens}";
        }
        line += string.Create(CultureInfo.InvariantCulture, $" total_ms={work.Elapsed.TotalMilliseconds:F1} end={End(work)}");
        Notes.Write(line);
    }

    /// <summary>Why it ended: the ends of its texts, or what went wrong.</summary>
    public static string End(CountedWork work) => work.Failure ?? (work.Answers is null ? "done" : string.Join(',',
        work.Answers.Generations.Select(generation => $"{generation.End ?? TextEnd.Cancelled}".ToLowerInvariant()).Distinct()));
}
