using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Bench;

/// <summary>The values of the placeholders in a peer's command.</summary>
/// <param name="Gguf">The model as a GGUF file, which is made for peers that read no other.</param>
internal sealed record PeerInputs(string Model, string Tokenizer, Lazy<string> Gguf, int Steps, int Threads)
{
    public const string Prompt = "Once upon a time";

    public string Fill(string argument) => (argument.Contains("{gguf}") ? argument.Replace("{gguf}", Gguf.Value) : argument)
        .Replace("{model}", Model).Replace("{tokenizer}", Tokenizer)
        .Replace("{prompt}", Prompt).Replace("{steps}", $"{Steps}").Replace("{threads}", $"{Threads}");
}

/// <summary>Another program to measure beside ours; it reports its own tok/s.</summary>
/// <param name="Arguments">Program and arguments with their placeholders.</param>
/// <param name="Pattern">Its first group is the tok/s in a line of output; the last match counts.</param>
internal sealed partial record Peer(string Name, IReadOnlyList<string> Arguments, Regex Pattern, TimeSpan TimeLimit)
{
    /// <summary>What llama2.c prints, and the column of llama-bench behind its test's name, as tg128.</summary>
    public const string DefaultPattern = @"(?:achieved tok/s:|\btg[0-9]+\s*\|)\s*([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)";

    /// <summary>A word of a command: blanks end it, except within '...' or "...".</summary>
    [GeneratedRegex(@"\G(?:'(?<part>[^']*)'|""(?<part>[^""]*)""|(?<part>[^\s'""]))+(?:\s+|$)")]
    private static partial Regex Word();

    /// <summary>Parses NAME=COMMAND; no shell is involved.</summary>
    /// <exception cref="UsageException">There is no name or no command, a quote has no end, or the pattern has no group.</exception>
    public static Peer Parse(string text, string pattern, TimeSpan timeLimit)
    {
        if (text.Split('=', 2, StringSplitOptions.TrimEntries) is not [{ Length: > 0 } name, { Length: > 0 } command])
            throw new UsageException($"--peer {text}: expected NAME=COMMAND");
        MatchCollection words = Word().Matches(command);
        UsageException.ThrowIf(words.Sum(word => word.Length) < command.Length, $"--peer {name}: a quote is not closed");
        try
        {
            Regex regex = new(pattern);
            return regex.GetGroupNumbers().Length > 1
                ? new Peer(name, [.. words.Select(word => string.Concat(word.Groups["part"].Captures))], regex, timeLimit)
                : throw new NotSupportedException("there is no group (...) around the number");
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new UsageException($"--peer-pattern {pattern}: {e.Message}");
        }
    }

    /// <summary>Runs the program once and returns the tok/s that it reports.</summary>
    /// <exception cref="UsageException">It could not be run, failed, took too long, or reported nothing.</exception>
    public double Run(PeerInputs inputs, CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(TimeLimit);
        try
        {
            return RunAsync([.. Arguments.Select(inputs.Fill)], limit.Token).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new UsageException($"{Name}: it did not end within {TimeLimit.TotalSeconds:0.#} s (--peer-timeout)");
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException)
        {
            throw new UsageException($"{Name}: {e.Message}");
        }
    }

    private async Task<double> RunAsync(string[] arguments, CancellationToken limit)
    {
        ProcessStartInfo start = new(arguments[0], arguments[1..]) { RedirectStandardInput = true };
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        using Process process = Process.Start(start)!;
        await using CancellationTokenRegistration kill = limit.Register(() => process.Kill(entireProcessTree: true));
        process.StandardInput.Close();
        string[] outputs = await Task.WhenAll(process.StandardOutput.ReadToEndAsync(limit), process.StandardError.ReadToEndAsync(limit));
        await process.WaitForExitAsync(limit);
        if (process.ExitCode != 0)
            throw new UsageException($"{Name}: it exited with {process.ExitCode}: {outputs[1].Trim().Split('\n')[^1]}".TrimEnd(' ', ':'));
        IEnumerable<Match> matches = outputs.SelectMany(output => output.Split('\n')).Select(line => Pattern.Match(line));
        string number = matches.LastOrDefault(match => match.Success)?.Groups[1].Value
            ?? throw new UsageException($"{Name}: it printed nothing that matches {Pattern}");
        return double.TryParse(number, CultureInfo.InvariantCulture, out double rate) && rate > 0 && double.IsFinite(rate)
            ? rate
            : throw new UsageException($"{Name}: expected a number of tok/s above 0, found {number}");
    }
}
