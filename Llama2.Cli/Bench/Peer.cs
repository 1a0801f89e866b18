using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Llama2.Cli.Bench;

/// <summary>What a peer is told: the values of the placeholders in its command.</summary>
internal sealed record PeerInputs(string Model, string Tokenizer, int Steps, int Threads)
{
    public const string Prompt = "Once upon a time";
}

/// <summary>Another program to measure beside ours; it reports its own tok/s.</summary>
/// <param name="Name">Heads its column.</param>
/// <param name="Arguments">Program and arguments, with {model}, {tokenizer}, {steps}, {prompt} and {threads} still in them.</param>
/// <param name="Pattern">Its first group matches the tok/s in a line of output.</param>
/// <param name="TimeLimit">How long a run may take.</param>
internal sealed record Peer(string Name, IReadOnlyList<string> Arguments, Regex Pattern, TimeSpan TimeLimit)
{
    public const string DefaultPattern = @"achieved tok/s:\s*([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)";

    /// <summary>Reads NAME=COMMAND.</summary>
    /// <exception cref="UsageException">There is no name or no command, a quote has no end, or the pattern has no group.</exception>
    public static Peer Parse(string text, string pattern, TimeSpan timeLimit)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals < 1)
            throw new UsageException($"--peer {text}: expected NAME=COMMAND");
        List<string> arguments = Split(text[(equals + 1)..])
            ?? throw new UsageException($"--peer {text[..equals]}: a quote is not closed");
        if (arguments.Count == 0)
            throw new UsageException($"--peer {text[..equals]}: there is no command");
        try
        {
            Regex regex = new(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            if (regex.GetGroupNumbers().Length < 2)
                throw new UsageException($"--peer-pattern {pattern}: it has no group (...) around the number");
            return new Peer(text[..equals], arguments, regex, timeLimit);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new UsageException($"--peer-pattern {pattern}: {e.Message}");
        }
    }

    /// <summary>Words of a command line: blanks part them, but not within '...' or "..."; null if a quote is not closed. No shell takes part.</summary>
    private static List<string>? Split(string command)
    {
        List<string> words = [];
        StringBuilder? word = null;
        char quote = '\0';
        foreach (char c in command)
        {
            if (quote == '\0' && c is ' ' or '\t' or '\n')
            {
                if (word is not null)
                    words.Add(word.ToString());
                word = null;
                continue;
            }
            word ??= new StringBuilder();
            if (quote == '\0' && c is '\'' or '"')
                quote = c;
            else if (c == quote)
                quote = '\0';
            else
                word.Append(c);
        }
        if (word is not null)
            words.Add(word.ToString());
        return quote == '\0' ? words : null;
    }

    /// <summary>Runs the program once.</summary>
    /// <returns>The tok/s it reports.</returns>
    /// <exception cref="PeerException">It could not be run, failed, took too long, or reported nothing.</exception>
    public double Run(PeerInputs inputs, CancellationToken cancellation)
    {
        string[] arguments = [.. Arguments.Select(argument => Fill(argument, inputs))];
        ProcessStartInfo start = new(arguments[0], arguments[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string? reported = null, lastError = null;
        try
        {
            using Process process = new() { StartInfo = start };
            process.OutputDataReceived += (_, line) => Look(line.Data);
            process.ErrorDataReceived += (_, line) =>
            {
                Look(line.Data);
                lastError = string.IsNullOrWhiteSpace(line.Data) ? lastError : line.Data;
            };
            process.Start();
            process.StandardInput.Close();
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(TimeLimit);
            try
            {
                process.WaitForExitAsync(limit.Token).GetAwaiter().GetResult();
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                cancellation.ThrowIfCancellationRequested();
                throw new PeerException($"{Name}: it did not end within {TimeLimit.TotalSeconds:0.#} s (--peer-timeout)");
            }
            if (process.ExitCode != 0)
                throw new PeerException($"{Name}: it exited with {process.ExitCode}{(lastError is null ? "" : ": " + lastError)}");
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException)
        {
            throw new PeerException($"{Name}: {e.Message}");
        }
        string number = reported ?? throw new PeerException($"{Name}: it printed nothing that matches {Pattern}");
        return double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double rate) && rate is > 0 and < double.PositiveInfinity
            ? rate
            : throw new PeerException($"{Name}: expected a number of tok/s above 0, found {number}");

        // Both streams are read on threads of their own.
        void Look(string? line)
        {
            if (line is not null && Pattern.Match(line) is { Success: true } match)
                Volatile.Write(ref reported, match.Groups[1].Value);
        }
    }

    private static string Fill(string argument, PeerInputs inputs) => argument
        .Replace("{model}", inputs.Model, StringComparison.Ordinal)
        .Replace("{tokenizer}", inputs.Tokenizer, StringComparison.Ordinal)
        .Replace("{steps}", inputs.Steps.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{threads}", inputs.Threads.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{prompt}", PeerInputs.Prompt, StringComparison.Ordinal);
}

/// <summary>A peer gave no result; the message names it and says why, in one line.</summary>
internal sealed class PeerException(string message) : Exception(message.ReplaceLineEndings(" "));
