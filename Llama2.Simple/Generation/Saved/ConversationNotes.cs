using System.Text.Json;
using System.Text.Json.Serialization;
using Llama2.Simple.Formats;
using Llama2.Simple.Text;

namespace Llama2.Simple.Generation.Saved;

/// <summary>The conversation in a saved session, as JSON in its notes: the name of the template, and turns that cover all tokens.</summary>
public sealed record ConversationNotes(string Template, string System, IReadOnlyList<Turn> Turns)
{
    public static string Write(Conversation conversation)
    {
        ConversationNotes notes = new(conversation.Template.Name, conversation.System, conversation.Turns);
        return JsonSerializer.Serialize(notes, NotesJson.Default.ConversationNotes);
    }

    /// <summary>The notes of a session that was read from <paramref name="path"/>.</summary>
    /// <exception cref="ModelFileException">It has none, or they do not fit its tokens.</exception>
    public static ConversationNotes Read(string path, SavedSession session)
    {
        if (session.Notes.Length == 0)
            throw Wrong("a conversation", "none: it was not saved by chat");
        try
        {
            ConversationNotes notes = JsonSerializer.Deserialize(session.Notes, NotesJson.Default.ConversationNotes)
                ?? throw new JsonException("null");
            if (!ChatTemplates.All.Any(template => template.Name == notes.Template))
                throw Wrong("the name of a template", "another");
            int end = 0;
            foreach (Turn turn in notes.Turns)
            {
                bool isInOrder = turn is not null && turn.Start >= end && turn.Answer > turn.Start && (end > 0 || turn.Start == 0);
                if (!isInOrder || turn!.Answer > session.Tokens.Length)
                    throw Wrong($"turns within {session.Tokens.Length} tokens, in order", $"{turn}");
                end = turn.Answer;
            }
            return notes;
        }
        catch (JsonException e)
        {
            throw Wrong("a conversation in JSON", "something else", e);
        }

        ModelFileException Wrong(string expected, string found, Exception? inner = null) => new(path, "notes", expected, found, inner);
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ConversationNotes))]
internal sealed partial class NotesJson : JsonSerializerContext;
