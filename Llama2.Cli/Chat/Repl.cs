using System.Diagnostics;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Chat;

/// <summary>Reads lines, answers them, carries out commands. Answers go to stdout, all else to stderr.</summary>
/// <param name="parameters">The text of /params.</param>
internal sealed class Repl(
    LineInput input, Interrupt interrupt, Conversation conversation, ConversationFiles files, string parameters, Speculation speculation)
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

    private const string RoomAdvice = "/undo or /reset makes room, --keep drops the oldest turns instead";

    private TimeSpan _lastTime; // that the last answer took

    public Conversation Conversation { get; private set; } = conversation;

    /// <summary>Talks until the input ends or the user leaves.</summary>
    /// <param name="first">The first line, or null.</param>
    /// <returns>The exit code.</returns>
    public int Run(string? first)
    {
        for (string? line = first ?? Read(); line is not null && line.Trim() != "/exit"; line = Read())
        {
            if (line.StartsWith('/'))
                Notes.Write(Execute(line));
            else if (line.Trim().Length > 0)
                Answer(line);
            if (interrupt.Leaves)
                break;
        }
        return interrupt.Leaves ? Interrupt.ExitCode : ExitCode.Success;
    }

    /// <summary>The next line, or null where the input ends or Ctrl-C leaves.</summary>
    private string? Read()
    {
        while (true)
        {
            try
            {
                string? line = input.Read(interrupt.Next());
                interrupt.Reset();
                return line;
            }
            catch (OperationCanceledException)
            {
                if (interrupt.Leaves)
                    return null;
                Notes.Write("Ctrl-C again leaves, as do Ctrl-D and /exit");
            }
        }
    }

    private void Answer(string line)
    {
        if (Conversation.LeastTokens(line) is var least && least >= files.Context)
        {
            Notes.Write($"that takes {Notes.Count(least, "token")} or more, but the context has {files.Context}: not said");
            return;
        }
        int tokens = Conversation.Encode(line).Length, left = Conversation.Left - tokens, context = files.Context;
        if (left <= 0 && !Conversation.DropsOldest)
        {
            Notes.Write($"that takes {Notes.Count(tokens, "token")} and the next answer at least one, but {Conversation.Left} of {context} "
                + "are left: not said. " + RoomAdvice);
            return;
        }
        if (left < context / 8 && !Conversation.DropsOldest)
            Notes.Write($"only {left} of {context} tokens are left for the answer and what comes after it; /undo or /reset makes room");

        long started = Stopwatch.GetTimestamp();
        AnswerText answer = new();
        try
        {
            foreach (string text in Conversation.Say(line, interrupt.Next()))
                answer.Write(text);
            Output.WriteLine();
        }
        catch (ContextFullException)
        {
            Notes.Write("that does not fit into the context, even if all turns were dropped: not said");
            return;
        }
        _lastTime = Stopwatch.GetElapsedTime(started);
        if (Conversation.End == TextEnd.Context)
            Notes.Write("the context is full, and the answer ends here. " + RoomAdvice);
        else if (Conversation.End == TextEnd.Cancelled)
            Notes.Write("stopped");
    }

    /// <summary>Carries out a command and returns the note about it.</summary>
    private string Execute(string line)
    {
        string[] words = line.Split(' ', 2, StringSplitOptions.TrimEntries);
        string argument = words.Length > 1 ? words[1] : "";
        try
        {
            return words[0] switch
            {
                "/help" => Help,
                "/reset" => Begin(Conversation.System, "a new conversation"),
                "/system" => Begin(argument, $"a new conversation with{(argument.Length > 0 ? " this" : "out a")} system prompt"),
                "/undo" => Conversation.Undo() is { } user ? $"taken back: {user}" : "there is nothing to take back",
                "/save" or "/load" when argument.Length == 0 || argument.Contains('\0') => $"{words[0]} needs the name of a file",
                "/save" => !files.Save(argument, Conversation, interrupt.Next()) ? "there is nothing to save yet"
                    : $"saved {Notes.Count(Conversation.Sequence.Tokens.Length, "token")} to {argument}",
                "/load" => Loaded(Conversation = files.Load(argument, interrupt.Next())),
                "/params" => $"template {Conversation.Template.Name}, {parameters}"
                    + (Conversation.System.Length > 0 ? $"\nsystem prompt: {Conversation.System}" : ""),
                "/stats" => Statistics(),
                _ => $"there is no command {words[0]}; /help lists them",
            };
        }
        catch (Exception e) when (e is ModelFileException or IOException or UnauthorizedAccessException or ContextFullException
            or ChatTemplateException)
        {
            return e.Message;
        }
        catch (OperationCanceledException)
        {
            return "stopped";
        }
    }

    private string Begin(string system, string note)
    {
        Conversation next = files.Begin(Conversation.Sequence, Conversation.Template, system);
        next.Sequence.Truncate(0);
        Conversation = next;
        return note;
    }

    private string Statistics()
    {
        int answer = Conversation.AnswerTokens;
        string last = answer == 0 ? ""
            : $"; last answer {Notes.Count(answer, "token")}, {answer / _lastTime.TotalSeconds:F1} tok/s with its prompt";
        return $"{Notes.Count(Conversation.Turns.Count, "turn")}, {Conversation.Sequence.Tokens.Length} of {files.Context} tokens used, "
            + $"{Conversation.Left} left{last}"
            + (speculation.Summary is { } summary ? "\n" + summary : "");
    }

    /// <summary>The note about a conversation that was loaded.</summary>
    public static string Loaded(Conversation conversation)
    {
        string last = conversation.Turns.Count > 0 ? $"; last message: {conversation.Turns[^1].User}" : "";
        return $"loaded {Notes.Count(conversation.Turns.Count, "turn")}, "
            + $"{Notes.Count(conversation.Sequence.Tokens.Length, "token")}, {conversation.Left} left, "
            + $"template {conversation.Template.Name}{last}";
    }
}
