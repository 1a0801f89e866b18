using System.CommandLine;
using System.Runtime.InteropServices;
using Llama2.Cli.Chat;
using Llama2.Cli.Generate;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Saved;
using Llama2.Simple.Text;

namespace Llama2.Cli.Commands;

/// <summary>Generates text as llama2.c's run does; also what the program does without a command.</summary>
internal sealed class GenerateCommand(Command command)
{
    private const int DefaultSteps = 256;

    private readonly ModelOptions _model = new(command);
    private readonly SamplerOptions _sampler = new(command);

    private readonly Option<int?> _steps = command.AddOption<int?>("--steps -steps -n", "int",
        $"number of steps to run for, 0 is the whole context; default {DefaultSteps}, for the model that ships its whole context");

    private readonly Option<string?> _prompt = command.AddOption<string?>("--prompt -prompt -i", "string", "input prompt");
    private readonly Option<string> _mode = command.AddChoice("--mode -m", "mode", "generate or chat", "generate", "chat");
    private readonly Option<string?> _system = command.AddOption<string?>("--system -y", "string", "system prompt in chat mode");

    private readonly Option<string?> _logits = command.AddOption<string?>(
        "--logits", "file", "append the logits of every forward pass to a file: float32, little-endian");

    private readonly Option<string?> _promptFile = command.AddOption<string?>(
        "--prompt-file", "file", "input prompt from a file, or - for stdin: its bytes, less the newline at its end");

    private readonly Option<bool> _json = command.AddFlag("--json", "print one JSON object with the text and why it ended");

    private readonly Option<int?> _logProbs = command.AddOption<int?>(
        "--logprobs", "N", "with --json: before that, one for each token with the N likeliest");

    private readonly Option<string?> _batch = command.AddOption<string?>(
        "--batch", "file.jsonl", "a prompt a line, {\"prompt\": TEXT}; prints a line of JSON for each, computed several at a time");

    private readonly FilterOptions _filters = new(command);
    private readonly SpeculateOption _speculate = new(command);
    private readonly SessionOptions _sessions = new(command);

    public static void AddTo(Command command) => command.SetAction(new GenerateCommand(command).Run);

    private int Run(ParseResult result)
    {
        RefuseContradictions(result);
        using LoadedModel model = _model.Load(result);
        using Interrupt interrupt = new();
        int steps = Steps(result, model);
        Speculation speculation = _speculate.For(result, model);
        if (result.GetValue(_batch) is { } batch)
        {
            return new BatchRun(model, () => NewSequence(result, model, speculation), speculation, _filters.Stops(result), steps,
                ModelOptions.IsSilent(result), interrupt.Token).Run(batch);
        }

        using FileStream? logits = result.GetValue(_logits) is { } file ? OpenLogits(file, interrupt.Token) : null;
        LogitsVisitor? onLogits = logits is null ? null : values => WriteLogits(result.GetValue(_logits)!, logits, values);
        if (result.GetValue(_mode) == "chat")
        {
            Sequence sequence = NewSequence(result, model, speculation, onLogits: onLogits);
            Batch one = new(model.Transformer, speculation.Policy);
            int code = new RunChat(one, sequence, model.Tokenizer, steps, interrupt.Token)
                .Run(result.GetValue(_system), result.GetValue(_prompt));
            FiniteWeights.NoteOn(sequence, model);
            return code;
        }
        return Generate(result, model, speculation, steps, onLogits, interrupt.Token);
    }

    private int Generate(
        ParseResult result, LoadedModel model, Speculation speculation, int steps, LogitsVisitor? onLogits, CancellationToken cancellation)
    {
        string? load = _sessions.LoadPath(result), save = _sessions.SavePath(result);
        SessionStore store = new(model);
        byte[]? prompt = Prompt(result, cancellation);
        bool persists = _sessions.Persists(result), goesOn = load is not null && (prompt is null || persists);
        SavedSession? saved = load is null ? null : store.Load(load, cancellation);
        UsageException.ThrowIf(persists && saved?.Notes.Length > 0, $"{load}: this is a conversation: llama2 chat goes on with it");

        // the tokens of the text so far, of which some are in a saved cache, and some were printed by an earlier run
        int shown = goesOn ? saved!.Cache.Length : 0;
        if (shown == model.Config.SeqLen)
            throw new ContextFullException(shown);
        steps = Math.Min(model.Config.SeqLen, shown + steps);
        PromptTokens added = PromptTokens.Of(model.Tokenizer, prompt, most: steps, bos: !goesOn);
        int[] tokens = [.. goesOn ? saved!.Tokens : [], .. added.Ids];
        if (saved is not null)
        {
            int common = tokens.AsSpan().CommonPrefixLength(saved.Tokens); // the last token that is to be fed must be left over
            saved.Cache.Truncate(Math.Min(common, Math.Min(saved.Cache.Length, Math.Min(tokens.Length, steps) - 1)));
        }

        Sequence sequence = NewSequence(result, model, speculation, saved, goesOn, onLogits);
        if (saved is not null && !ModelOptions.IsSilent(result))
            Notes.Write($"session: {sequence.Fed} of {Notes.Count(tokens.Length, "token")} from {load}");
        bool json = result.GetValue(_json);
        int logProbs = result.GetValue(_logProbs) ?? 0, sampled = 0;
        Story story = new(sequence, model.Tokenizer, added with { Ids = tokens }, steps, _filters.Stops(result), shown);
        Speed speed = new(sequence);
        Exception? failure = null;
        if (story.LeftOut is { } note && !ModelOptions.IsSilent(result))
            Notes.Write(note);
        try
        {
            if (!json)
                Output.Write(story.Text);
            foreach (string text in new Batch(model.Transformer, speculation.Policy).Run(sequence, cancellation))
            {
                speed.Step();
                if (json && logProbs > 0 && sequence.Sampled > sampled && sequence.End != TextEnd.Model)
                    Output.WriteLine(ResultJson.Line(TokenResult.Of(sequence, model.Tokenizer, logProbs)));
                sampled = sequence.Sampled;
                story.Add(text);
                if (!json)
                    Output.Write(text);
            }
            Output.WriteLine(json ? ResultJson.Line(story.Result) : "");
            FiniteWeights.NoteOn(sequence, model);
            if (!ModelOptions.IsSilent(result))
                speed.Report(speculation);
        }
        catch (Exception e) when (save is not null && e is OutputException or ReaderGoneException)
        {
            failure = e; // as after Ctrl-C, what there is is saved
        }
        if (save is not null && sequence.Fed > 0)
            store.Save(save, sequence, cancellation, sequence.End == TextEnd.Model ? sequence.LastSampled : null);
        return failure is not null ? throw failure
            : cancellation.IsCancellationRequested ? Interrupt.ExitCode : ExitCode.Success;
    }

    private static FileStream OpenLogits(string path, CancellationToken cancellation)
    {
        if (Input.KindOf(path) is { } kind)
            throw new UsageException($"--logits {path}: expected a new file or one of logits, found {kind}");
        try
        {
            // opening a named pipe blocks until a reader opens it; without a buffer nothing is left to write as the file is closed
            return Directory.Exists(path) ? throw new IOException("it is a folder")
                : Input.Wait(() => new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0), cancellation);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    private static void WriteLogits(string path, FileStream file, ReadOnlySpan<float> logits)
    {
        try
        {
            file.Write(MemoryMarshal.AsBytes(logits));
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    /// <summary>The number of steps, 1 to the context length.</summary>
    private int Steps(ParseResult result, LoadedModel model)
    {
        int steps = result.GetValue(_steps) ?? (model.Source.IsDefault ? 0 : DefaultSteps), seqLen = model.Config.SeqLen;
        return steps <= 0 || steps > seqLen ? seqLen : steps;
    }

    /// <summary>A sequence with the given filters: a new one, or one with a saved cache and, to go on with it, its sampler.</summary>
    private Sequence NewSequence(
        ParseResult result, LoadedModel model, Speculation speculation, SavedSession? saved = null, bool goesOn = false,
        LogitsVisitor? onLogits = null)
    {
        SavedSession? sampled = goesOn ? saved : null;
        bool greedy = _sampler.Temperature(result, sampled) == 0;
        IReadOnlyList<LogitFilter> filters = _filters.Filters(result, model, greedy);
        ISampler sampler = _sampler.Create(result, model, sampled);
        return new Sequence(model.Config, sampler, saved?.Cache, saved?.Tokens[..saved.Cache.Length])
        {
            Filters = filters,
            OnLogits = onLogits,
            KeepsLogits = result.GetValue(_logProbs) > 0,
            Drafters = speculation.NewDrafters(),
            IsEnd = model.EndsText,
        };
    }

    private byte[]? Prompt(ParseResult result, CancellationToken cancellation) =>
        result.GetValue(_promptFile) is { } path ? Input.ReadText(path, cancellation)
        : result.GetValue(_prompt) is { } prompt ? ArgumentBytes.Of(prompt)
        : null;

    /// <summary>Refuses options that contradict each other, so that none is silently ignored.</summary>
    private void RefuseContradictions(ParseResult result)
    {
        bool prompt = result.IsGiven(_prompt), file = result.IsGiven(_promptFile);
        bool chat = result.GetValue(_mode) == "chat", json = result.GetValue(_json);
        UsageException.ThrowIf(prompt && file, "--prompt and --prompt-file: only one of them");
        UsageException.ThrowIf(result.GetValue(_logProbs) is { } n && (n < 0 || !json), "--logprobs: expected 0 or more, with --json");
        bool own = json || file || _sessions.IsUsed(result);
        UsageException.ThrowIf(result.IsGiven(_batch) && (own || chat || prompt || result.IsGiven(_logits)),
            "--batch brings its prompts and prints JSON: "
            + "it goes without --prompt, --prompt-file, --json, --logits, sessions and -m chat");
        UsageException.ThrowIf(chat && (own || _filters.Stops(result).Length > 0),
            "-m chat is run.c's chat, which goes without --json, --prompt-file, --stop and sessions; llama2 chat has more");
    }
}
