using System.Diagnostics;

namespace Llama2.Cli.Server;

/// <summary>What the log and the metrics count: a request, or a job, which goes on when its request has been answered.</summary>
internal abstract class CountedWork
{
    private readonly long _began = Stopwatch.GetTimestamp();

    public abstract string Id { get; }
    public abstract string Status { get; }    // how it was answered
    public string Route { get; set; } = "-";  // as this server names it, not as the client wrote it
    public Answers? Answers { get; set; }
    public int EmbeddedTokens { get; set; }
    public string? Failure { get; set; }      // the type of the error that it ended with
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_began);
}
