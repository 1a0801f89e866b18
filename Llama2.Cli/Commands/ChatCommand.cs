using System.CommandLine;
using Llama2.Cli.Chat;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>A conversation with a model.</summary>
internal sealed class ChatCommand
{
    private readonly GenerateOptions _options = new();
    private readonly SamplingOptions _sampling = new();
    private readonly SessionOptions _sessions = new();
    private readonly Option<string> _template = new("--template")
    {
        Description = "the format that the model was tuned on; plain just goes on with the text, for models of stories",
        HelpName = "name",
        DefaultValueFactory = _ => ChatTemplate.All[0].Name,
    };
    private readonly Option<int?> _answer = new("--steps", "-n") { Description = "the most tokens of an answer; default: what the context holds", HelpName = "int" };
    private readonly Option<bool> _keep = new("--keep") { Description = "where the context is full, drop the oldest turns and say so" };

    public static void AddTo(Command command)
    {
        ChatCommand chat = new();
        GenerateOptions o = chat._options;
        command.Add(o.Checkpoint);
        foreach (Option option in (Option[])[o.CheckpointOption, o.Temperature, o.TopP, o.Seed, chat._answer, o.Prompt, o.Tokenizer, o.System,
            chat._template, chat._keep, o.Silent])
            command.Add(option);
        o.Implementations.AddTo(command);
        chat._sampling.AddTo(command);
        chat._sessions.AddTo(command);
        chat._template.AcceptOnlyFromAmong([.. ChatTemplate.All.Select(template => template.Name)]);
        command.SetAction(chat.Run);
    }

    private int Run(ParseResult result)
    {
        string? load = _sessions.LoadPath(result), save = _sessions.SavePath(result);
        string[] stops = _sampling.Stops(result);
        using LoadedModel model = new(_options, result);
        ConversationFiles files = new(model, saved => NewSession(result, model, saved), (session, template, system, turns) =>
            new Conversation(session, model.Tokenizer, template, system, turns)
            {
                Stops = stops,
                MaxAnswer = result.GetValue(_answer) is > 0 and int most ? most : int.MaxValue,
                DropsOldest = result.GetValue(_keep),
                OnDrop = (turns, tokens) => Console.Error.WriteLine($"context: {turns} oldest turns dropped, reading the other {tokens} tokens again"),
            });
        Conversation conversation = load is null
            ? files.Begin(ChatTemplate.All.Single(template => template.Name == result.GetValue(_template)), result.GetValue(_options.System) ?? "")
            : files.Load(load);
        if (load is not null && GenerateOptions.IsGiven(result, _options.Seed))
            conversation.Session.Sampler.RandomState = _options.SeedOf(result);
        if (load is not null)
            Console.Error.WriteLine(Repl.Loaded(conversation));

        using RepeatedInterrupt interrupt = new();
        using LineInput input = new(onKey: interrupt.Reset);
        if (input.IsTerminal && !result.GetValue(_options.Silent))
            Console.Error.WriteLine("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves");
        Repl repl = new(input, interrupt, conversation, files, Parameters(result, conversation.Session.Sampler));
        int exitCode = repl.Run(result.GetValue(_options.Prompt));
        if (save is not null)
            files.Save(save, repl.Conversation);
        return exitCode;
    }

    private Session NewSession(ParseResult result, LoadedModel model, SavedSession? saved) =>
        new(model.Transformer, _options.CreateSampler(result, model.Config.VocabSize, saved), saved?.Cache, saved?.Tokens)
        {
            BatchSize = Implementations.BatchSize(model.Implementation),
            Filters = _sampling.Filters(result, model.Config.VocabSize),
        };

    /// <summary>The options that shape an answer, as they were given.</summary>
    private string Parameters(ParseResult result, Sampler sampler)
    {
        IEnumerable<string> given = result.CommandResult.Command.Options.Where(option => _sampling.Contains(option) && GenerateOptions.IsGiven(result, option))
            .Select(option => $"{option.Name} {string.Join(' ', result.GetResult(option)!.Tokens)}".TrimEnd());
        return string.Join(", ", given.Prepend($"top-p {sampler.TopP}").Prepend($"temperature {sampler.Temperature}"));
    }
}
