using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Generates text as llama2.c's run does; also what the program does without a command.</summary>
internal sealed class GenerateCommand
{
    private const int EnoughToMeasure = 8; // tokens of a prompt, whose speed says what a session saves

    private readonly GenerateOptions _options = new();
    private readonly SamplingOptions _sampling = new();
    private readonly SessionOptions _sessions = new();
    private readonly Option<string?> _promptFile = new("--prompt-file") { Description = "input prompt from a file, or - for stdin, less its last newline", HelpName = "file" };
    private readonly Option<bool> _json = new("--json") { Description = "print one JSON object with the text and why it ended" };
    private readonly Option<int?> _logProbs = new("--logprobs") { Description = "with --json: before that, one for each token with the N likeliest", HelpName = "N" };
    private readonly Option<string?> _batch = new("--batch") { Description = "a prompt a line, {\"prompt\": TEXT}; prints a line of JSON for each, computed several at a time", HelpName = "file.jsonl" };

    public static void AddTo(Command command)
    {
        GenerateCommand generate = new();
        generate._options.AddTo(command);
        foreach (Option option in (Option[])[generate._promptFile, generate._json, generate._logProbs, generate._batch])
            command.Add(option);
        generate._sampling.AddTo(command);
        generate._sessions.AddTo(command);
        command.SetAction(generate.Run);
    }

    private int Run(ParseResult result)
    {
        Refuse(result);
        using LoadedModel model = new(_options, result);
        int steps = _options.StepsFor(result, model.Path, model.Config.SeqLen);
        using Interrupt interrupt = new();
        if (result.GetValue(_batch) is { } batch)
            return new BatchRun(model, () => NewSession(result, model), _sampling.Stops(result), steps, interrupt.Token).Run(batch);

        using FileStream? logits = result.GetValue(_options.Logits) is { } file ? new FileStream(file, FileMode.Append) : null;
        LogitsVisitor? onLogits = logits is null ? null : values => logits.Write(MemoryMarshal.AsBytes(values));
        if (result.GetValue(_options.Mode) == "chat")
            return new RunChat(NewSession(result, model, onLogits: onLogits), model.Tokenizer, steps, interrupt.Token).Run(result.GetValue(_options.System), result.GetValue(_options.Prompt));
        return Generate(result, model, steps, onLogits, interrupt.Token);
    }

    private int Generate(ParseResult result, LoadedModel model, int steps, LogitsVisitor? onLogits, CancellationToken cancellation)
    {
        string? load = _sessions.LoadPath(result), save = _sessions.SavePath(result);
        SessionStore store = new(model);
        string? given = Prompt(result);
        int[] prompt = model.Tokenizer.Encode(given ?? "");
        Session session;
        int shown = 0; // tokens of the prompt that an earlier run has printed
        double secondsPerToken = 0;
        if (load is null)
        {
            session = NewSession(result, model, onLogits: onLogits);
        }
        else
        {
            long started = Stopwatch.GetTimestamp();
            SavedSession saved = store.Load(load);
            int loaded = saved.Cache.Length;
            if (given is null)
            {
                if (loaded == model.Config.SeqLen)
                    throw new ContextFullException(loaded);
                (prompt, shown, steps) = (saved.Tokens, loaded, Math.Min(model.Config.SeqLen, loaded + steps));
            }
            else
            {
                loaded = Math.Min(prompt.AsSpan().CommonPrefixLength(saved.Tokens), Math.Min(loaded, Math.Min(prompt.Length, steps) - 1));
                saved.Cache.Truncate(loaded);
            }
            secondsPerToken = saved.Seconds / saved.Tokens.Length;
            session = NewSession(result, model, saved with { Tokens = prompt[..loaded] }, goOn: shown > 0, onLogits);
            if (!result.GetValue(_options.Silent))
                ReportLoaded(load, loaded, prompt.Length, Stopwatch.GetElapsedTime(started).TotalSeconds, secondsPerToken * loaded);
        }

        Generator generator = new(session);
        TextPrinter printer = new(model.Tokenizer, session, generator, _sampling.Stops(result), result.GetValue(_json), result.GetValue(_logProbs) ?? 0);
        printer.Print(generator.Generate(prompt, steps, cancellation), prompt, shown, cancellation);
        if (!result.GetValue(_options.Silent))
            Report(generator);
        if (generator.PromptTokens >= EnoughToMeasure)
            secondsPerToken = generator.PromptTime.TotalSeconds / generator.PromptTokens;
        if (save is not null && session.Tokens.Length + (generator.Pending is null ? 0 : 1) > 0)
            store.Save(save, session, generator.Pending, secondsPerToken);
        return cancellation.IsCancellationRequested ? Program.Interrupted : Program.Success;
    }

    /// <summary>A session with the sampling that was asked for: a new one, or one with a saved one's cache and, to go on with it, its sampler.</summary>
    private Session NewSession(ParseResult result, LoadedModel model, SavedSession? saved = null, bool goOn = false, LogitsVisitor? onLogits = null)
    {
        Sampler sampler = _options.CreateSampler(result, model.Config.VocabSize, goOn ? saved : null);
        return new Session(model.Transformer, sampler, saved?.Cache, saved?.Tokens)
        {
            BatchSize = Implementations.BatchSize(model.Implementation),
            Filters = _sampling.Filters(result, model.Config.VocabSize),
            OnLogits = onLogits,
        };
    }

    private string? Prompt(ParseResult result)
    {
        if (result.GetValue(_promptFile) is not { } path)
            return result.GetValue(_options.Prompt);
        using Stream stream = path == "-" ? Console.OpenStandardInput() : File.OpenRead(path);
        string text = new StreamReader(stream, Encoding.UTF8).ReadToEnd();
        return text.EndsWith("\r\n", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('\n') ? text[..^1] : text;
    }

    /// <summary>Refuses options that contradict each other, so that none is silently ignored.</summary>
    private void Refuse(ParseResult result)
    {
        bool chat = result.GetValue(_options.Mode) == "chat", batch = result.GetValue(_batch) is not null, file = result.GetValue(_promptFile) is not null;
        if (result.GetValue(_options.Prompt) is not null && file)
            throw new UsageException("--prompt and --prompt-file: only one of them");
        if (result.GetValue(_logProbs) is { } n && (n < 0 || !result.GetValue(_json)))
            throw new UsageException("--logprobs: expected 0 or more, with --json");
        bool own = result.GetValue(_json) || _sessions.IsUsed(result) || file;
        if (batch && (own || chat || result.GetValue(_options.Prompt) is not null || result.GetValue(_options.Logits) is not null))
            throw new UsageException("--batch brings its prompts and prints JSON: it goes without --prompt, --prompt-file, --json, --logits, sessions and -m chat");
        if (chat && (own || _sampling.Stops(result).Length > 0))
            throw new UsageException("-m chat is run.c's chat, which goes without --json, --prompt-file, --stop and sessions; llama2 chat has more");
    }

    private static void ReportLoaded(string path, int loaded, int tokens, double took, double prefill) =>
        Console.Error.WriteLine($"session: {loaded} of {tokens} tokens from {path} in {1000 * took:F1} ms" + (prefill > 0
            ? $"; reading them takes {1000 * prefill:F1} ms at the speed measured when it was saved, so {1000 * (prefill - took):F1} ms are saved" : ""));

    private static void Report(Generator generator)
    {
        Console.Error.WriteLine($"prompt: {generator.PromptTokens} tokens, {PerSecond(generator.PromptTokens, generator.PromptTime)} tok/s; "
            + $"generation: {generator.GeneratedTokens} tokens, {PerSecond(generator.GeneratedTokens - 1, generator.GenerationTime)} tok/s; "
            + $"time to first token: {generator.TimeToFirstToken.TotalMilliseconds:F1} ms");
        if (generator.FedTokens > 1)
            Console.Error.WriteLine($"achieved tok/s: {generator.AchievedTokensPerSecond:F6}");
    }

    private static string PerSecond(int tokens, TimeSpan time) => tokens > 0 && time > TimeSpan.Zero ? $"{tokens / time.TotalSeconds:F1}" : "-";
}
