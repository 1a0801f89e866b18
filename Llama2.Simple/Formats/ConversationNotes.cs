using System.Text.Json;
using System.Text.Json.Serialization;

namespace Llama2.Simple.Formats;

/// <summary>What a saved session remembers of the conversation in it, as JSON in its notes.</summary>
/// <param name="Template">Name of the template.</param>
/// <param name="System">The system prompt, or empty.</param>
/// <param name="Turns">The turns, in order, which cover all tokens.</param>
public sealed record ConversationNotes(string Template, string System, IReadOnlyList<Turn> Turns)
{
    /// <summary>The notes of a conversation.</summary>
    public static string Write(Conversation conversation)
    {
        ArgumentNullException.ThrowIfNull(conversation);
        return JsonSerializer.Serialize(new ConversationNotes(conversation.Template.Name, conversation.System, conversation.Turns), NotesJson.Default.ConversationNotes);
    }

    /// <summary>The notes of a saved session.</summary>
    /// <param name="path">The session's file, for messages.</param>
    /// <param name="session">The session.</param>
    /// <exception cref="SessionException">It has none, or they do not fit its tokens.</exception>
    public static ConversationNotes Read(string path, SavedSession session)
    {
        ArgumentNullException.ThrowIfNull(session);
        if (session.Notes.Length == 0)
            throw Wrong("a conversation", "none: it was not saved by chat");
        try
        {
            ConversationNotes notes = JsonSerializer.Deserialize(session.Notes, NotesJson.Default.ConversationNotes) ?? throw new JsonException("null");
            if (!ChatTemplate.All.Any(template => template.Name == notes.Template))
                throw Wrong("the name of a template", "another");
            int end = 0;
            foreach (Turn turn in notes.Turns)
            {
                if (turn is null || turn.Start < end || turn.Answer <= turn.Start || turn.Answer > session.Tokens.Length || (end == 0 && turn.Start > 0))
                    throw Wrong($"turns within {session.Tokens.Length} tokens, in order", turn is null ? "null" : $"one at {turn.Start} to {turn.Answer}");
                end = turn.Answer;
            }
            return notes;
        }
        catch (JsonException e)
        {
            throw Wrong("a conversation in JSON", "something else", e);
        }

        SessionException Wrong(string expected, string found, Exception? inner = null) => new(path, "notes", expected, found, inner);
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ConversationNotes))]
internal sealed partial class NotesJson : JsonSerializerContext;
