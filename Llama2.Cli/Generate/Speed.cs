using System.Diagnostics;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Generate;

/// <summary>The times of a sequence's steps, for the summary on stderr; to be created before the first step.</summary>
internal sealed class Speed(Sequence sequence)
{
    private readonly int _loaded = sequence.Fed, _promptTokens = sequence.Tokens.Length - sequence.Fed;
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _firstToken, _ended;

    /// <summary>To be called after each step.</summary>
    public void Step()
    {
        _ended = Stopwatch.GetTimestamp();
        if (_firstToken == 0 && sequence.Fed - _loaded >= _promptTokens)
            _firstToken = _ended;
    }

    /// <summary>Prints tokens per second of prompt and generation, what was guessed, and run.c's "achieved tok/s".</summary>
    public void Report(Speculation speculation)
    {
        if (speculation.Summary is { } summary)
            Notes.Write(summary);
        int fed = sequence.Fed - _loaded;
        TimeSpan prompt = Stopwatch.GetElapsedTime(_started, _firstToken == 0 ? _ended : _firstToken);
        TimeSpan generation = Stopwatch.GetElapsedTime(_firstToken, _ended);
        Notes.Write($"prompt: {Notes.Count(_promptTokens, "token")}, {PerSecond(Math.Min(fed, _promptTokens), prompt)} tok/s; "
            + $"generation: {Notes.Count(sequence.Sampled, "token")}, {PerSecond(sequence.Sampled - 1, generation)} tok/s"
            + (_firstToken == 0 ? "" : $"; time to first token: {SinceStart(_firstToken).TotalMilliseconds:F0} ms from the program's start")
            + (fed > 1 ? "; below both, as run.c counts" : ""));
        // run.c's clock starts after the first token, whose pass may be slower. A prompt takes few passes here, which all count.
        if (fed > 1)
        {
            double seconds = Stopwatch.GetElapsedTime(_promptTokens == 1 ? _firstToken : _started, _ended).TotalSeconds;
            Notes.Write($"achieved tok/s: {(fed - 1) / seconds:F6}");
        }
    }

    // Linux knows a program's start to 10 ms.
    private static TimeSpan SinceStart(long timestamp)
    {
        using Process self = Process.GetCurrentProcess();
        return DateTime.Now - self.StartTime - Stopwatch.GetElapsedTime(timestamp);
    }

    private static string PerSecond(int tokens, TimeSpan time) =>
        tokens > 0 && time > TimeSpan.Zero ? $"{tokens / time.TotalSeconds:F1}" : "-";
}
