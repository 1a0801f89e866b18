using System.CommandLine;
using Llama2.Cli.Chat;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Saved;
using Llama2.Simple.Text;

namespace Llama2.Cli.Commands;

/// <summary>A conversation with a model.</summary>
internal sealed class ChatCommand(Command command)
{
    private readonly ModelOptions _model = new(command);
    private readonly SamplerOptions _sampler = new(command);

    private readonly Option<int?> _answer = command.AddOption<int?>(
        "--steps -n", "int", "the most tokens of an answer; default: what the context holds");

    private readonly Option<string?> _prompt = command.AddOption<string?>("--prompt -prompt -i", "string", "input prompt");
    private readonly Option<string?> _system = command.AddOption<string?>("--system -y", "string", "system prompt in chat mode");

    private readonly Option<string?> _template = command.AddTemplate();

    private readonly Option<bool> _keep = command.AddFlag("--keep", "where the context is full, drop the oldest turns and say so");
    private readonly FilterOptions _filters = new(command);
    private readonly SpeculateOption _speculate = new(command);
    private readonly SessionOptions _sessions = new(command);

    public static void AddTo(Command command) => command.SetAction(new ChatCommand(command).Run);

    private int Run(ParseResult result)
    {
        string? load = _sessions.LoadPath(result), save = _sessions.SavePath(result);
        string[] stops = _filters.Stops(result);
        using LoadedModel model = _model.Load(result);
        Speculation speculation = _speculate.For(result, model);
        ConversationFiles files = new(model, NewSequence, (sequence, template, system, turns) =>
            new Conversation(model.Transformer, model.Tokenizer, sequence, template, system, turns, speculation.Policy)
            {
                Stops = stops,
                MaxAnswer = result.GetValue(_answer) is > 0 and int max ? max : int.MaxValue,
                DropsOldest = result.GetValue(_keep),
                OnDrop = (turns, tokens) => Notes.Write(
                    $"context: {Notes.Count(turns, "oldest turn")} dropped, reading the other {Notes.Count(tokens, "token")} again"),
            });
        Conversation conversation = load is null
            ? files.Begin(result.GetValue(_template), result.GetValue(_system) ?? "")
            : files.Load(load, CancellationToken.None); // signals still end the program
        ISampler sampler = conversation.Sequence.Sampler;
        if (load is not null)
        {
            sampler.RandomState = _sampler.GivenSeed(result) ?? sampler.RandomState;
            RefuseOther(_template, result, conversation.Template.Name, load);
            RefuseOther(_system, result, conversation.System, load);
            Notes.Write(Repl.Loaded(conversation));
        }

        using Interrupt interrupt = new(pressesToLeave: Tty.CanEdit ? 2 : 1); // without a terminal nobody presses a second time
        using LineInput input = new(onKey: interrupt.Reset);
        if (input.IsTerminal && !ModelOptions.IsSilent(result))
            Notes.Write("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves");
        string[] parameters = [$"temperature {sampler.Temperature}", $"top-p {sampler.TopP}", .. _filters.Given(result)];
        Repl repl = new(input, interrupt, conversation, files, string.Join(", ", parameters), speculation);
        int exitCode;
        try
        {
            exitCode = repl.Run(result.GetValue(_prompt));
        }
        catch (Exception e) when (save is not null && e is OutputException or ReaderGoneException)
        {
            files.Save(save!, repl.Conversation, interrupt.Next()); // though nobody sees it any more
            throw;
        }
        FiniteWeights.NoteOn(repl.Conversation.Sequence, model);
        if (save is not null)
            files.Save(save, repl.Conversation, interrupt.Next());
        return exitCode;

        Sequence NewSequence(SavedSession? saved) => new(model.Config, _sampler.Create(result, model, saved), saved?.Cache, saved?.Tokens)
        {
            Filters = _filters.Filters(result, model),
            Drafters = speculation.NewDrafters(),
        };
    }

    /// <summary>Refuses an option that says something else than the conversation it would have to change.</summary>
    private static void RefuseOther(Option option, ParseResult result, string saved, string path) =>
        UsageException.ThrowIf(result.IsGiven(option) && result.GetResult(option)!.Tokens[^1].Value != saved,
            $"{option.Name}: {path} holds a conversation with {(saved.Length > 0 ? $"'{saved}'" : "none")}, which cannot be changed");
}
