using System.Diagnostics;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Chat;

/// <summary>Reads lines, answers them, obeys commands. Answers go to stdout, all else to stderr.</summary>
/// <param name="input">Where lines come from.</param>
/// <param name="interrupt">Ctrl-C.</param>
/// <param name="conversation">The conversation to begin with.</param>
/// <param name="files">Saves and loads conversations.</param>
/// <param name="parameters">What /params says.</param>
internal sealed class Repl(LineInput input, RepeatedInterrupt interrupt, Conversation conversation, ConversationFiles files, string parameters)
{
    private const string Help = """
        /help          this
        /reset         begin a new conversation
        /system TEXT   begin one with this system prompt; without TEXT, without any
        /undo          take back the last message and its answer
        /save FILE     save the conversation
        /load FILE     go on with a saved one
        /params        how answers are sampled
        /stats         tokens, room that is left, speed
        /exit          leave; so do Ctrl-D and pressing Ctrl-C twice. Ctrl-C once stops an answer
        """;

    private Conversation _conversation = conversation;
    private TimeSpan _lastTime;

    /// <summary>Talks until the input ends or the user leaves.</summary>
    /// <param name="first">What the user says first, or null.</param>
    /// <returns>The exit code.</returns>
    public int Run(string? first)
    {
        string? line = first;
        while (true)
        {
            if (line is null)
            {
                try
                {
                    line = input.Read(interrupt.Next());
                }
                catch (OperationCanceledException) when (!interrupt.Leaves && input.IsTerminal)
                {
                    Console.Error.WriteLine("\nCtrl-C again leaves, as do Ctrl-D and /exit");
                    continue;
                }
                catch (OperationCanceledException)
                {
                    Console.Error.WriteLine();
                    return Program.Interrupted;
                }
                interrupt.Reset();
            }
            if (line is null || line.Trim() == "/exit")
                return Program.Success;
            if (line.StartsWith('/'))
                Obey(line);
            else if (line.Trim().Length > 0)
                Answer(line);
            if (interrupt.Leaves || (_conversation.End == AnswerEnd.Cancelled && !input.IsTerminal))
                return Program.Interrupted;
            line = null;
        }
    }

    /// <summary>The conversation now.</summary>
    public Conversation Conversation => _conversation;

    private void Answer(string line)
    {
        int left = _conversation.Left - _conversation.Encode(line).Length, context = files.Context;
        if (left <= 0 && !_conversation.DropsOldest)
        {
            Note($"that takes {_conversation.Encode(line).Length} tokens and the next answer at least one, but {_conversation.Left} of {context} are left: not said. /undo or /reset makes room, --keep drops the oldest turns instead");
            return;
        }
        if (left < context / 8 && !_conversation.DropsOldest)
            Note($"only {left} of {context} tokens are left for the answer and what comes after it; /undo or /reset makes room");

        long started = Stopwatch.GetTimestamp();
        try
        {
            foreach (string text in _conversation.Say(line, interrupt.Next()))
                Output.Write(text);
            Output.WriteLine();
        }
        catch (ContextFullException)
        {
            Note("that does not fit into the context, even if all turns were dropped: not said");
        }
        _lastTime = Stopwatch.GetElapsedTime(started);
        if (_conversation.End == AnswerEnd.Context)
            Note("the context is full, and the answer ends here. /undo or /reset makes room, --keep drops the oldest turns instead");
        else if (_conversation.End == AnswerEnd.Cancelled)
            Note("stopped");
    }

    private void Obey(string line)
    {
        string[] words = line.Split(' ', 2, StringSplitOptions.TrimEntries);
        string argument = words.Length > 1 ? words[1] : "";
        switch (words[0])
        {
            case "/help":
                Note(Help);
                break;
            case "/reset":
                Begin(_conversation.System);
                Note("a new conversation");
                break;
            case "/system":
                Begin(argument);
                Note(argument.Length > 0 ? "a new conversation with this system prompt" : "a new conversation without a system prompt");
                break;
            case "/undo":
                Note(_conversation.Undo() is { } user ? $"taken back: {user}" : "there is nothing to take back");
                break;
            case "/save" or "/load" when argument.Length == 0:
                Note($"{words[0]} needs the name of a file");
                break;
            case "/save":
                Try(() => Note(files.Save(argument, _conversation) ? $"saved {_conversation.Session.Tokens.Length} tokens to {argument}" : "there is nothing to save yet"));
                break;
            case "/load":
                Try(() => Note(Loaded(_conversation = files.Load(argument))));
                break;
            case "/params":
                Note($"template {_conversation.Template.Name}, {parameters}" + (_conversation.System.Length > 0 ? $"\nsystem prompt: {_conversation.System}" : ""));
                break;
            case "/stats":
                Note($"{_conversation.Turns.Count} turns, {_conversation.Session.Tokens.Length} of {files.Context} tokens used, {_conversation.Left} left"
                    + (_conversation.AnswerTokens > 0 ? $"; last answer {_conversation.AnswerTokens} tokens, {_conversation.AnswerTokens / _lastTime.TotalSeconds:F1} tok/s with its prompt" : ""));
                break;
            default:
                Note($"there is no command {words[0]}; /help lists them");
                break;
        }
    }

    private void Begin(string system)
    {
        _conversation.Session.Truncate(0);
        _conversation = files.Begin(_conversation.Session, _conversation.Template, system);
    }

    /// <summary>What there is to say of a conversation that was loaded.</summary>
    public static string Loaded(Conversation conversation) =>
        $"loaded {conversation.Turns.Count} turns, {conversation.Session.Tokens.Length} tokens, {conversation.Left} left, template {conversation.Template.Name}"
        + (conversation.Turns.Count > 0 ? $"; last message: {conversation.Turns[^1].User}" : "");

    private static void Try(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is ModelFileException or IOException or UnauthorizedAccessException or ContextFullException)
        {
            Note(e.Message);
        }
    }

    private static void Note(string text) => Console.Error.WriteLine(text);
}
