using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple.Formats;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Saved;
using Llama2.Simple.Text;

namespace Llama2.Cli.Chat;

/// <summary>Begins conversations, saves them and goes on with saved ones, all with the same options.</summary>
internal sealed class ConversationFiles(
    LoadedModel model,
    Func<SavedSession?, Sequence> newSequence,
    Func<Sequence, ChatTemplate, string, IEnumerable<Turn>, Conversation> newConversation)
{
    private readonly SessionStore _store = new(model);

    public int Context => model.Config.SeqLen; // in tokens

    /// <param name="template">The template's name, or null for the one that the model's file holds, or else the first one.</param>
    /// <param name="system">The system prompt, empty if there is none.</param>
    /// <exception cref="UsageException">No template that is known does what the file's own does, or it takes no system prompt.</exception>
    public Conversation Begin(string? template, string system)
    {
        ChatTemplate chosen = model.Template(template);
        UsageException.ThrowIf(system.Length > 0 && !chosen.TakesSystem,
            $"--system: template {chosen.Name} has no place for a system prompt");
        return Begin(newSequence(null), chosen, system);
    }

    public Conversation Begin(Sequence sequence, ChatTemplate template, string system) => newConversation(sequence, template, system, []);

    /// <exception cref="ModelFileException">It is no conversation with this model.</exception>
    public Conversation Load(string path, CancellationToken cancellation)
    {
        SavedSession saved = _store.Load(path, cancellation);
        ConversationNotes notes = ConversationNotes.Read(path, saved);
        Sequence sequence = newSequence(saved);
        sequence.Sampler.RandomState = saved.RandomState; // in place of the seed that the program was started with
        try
        {
            return newConversation(sequence, model.Template(notes.Template), notes.System, notes.Turns);
        }
        catch (ChatTemplateException e)
        {
            throw new ModelFileException(path, "notes", "a conversation that its template has a form for", e.Message, e);
        }
    }

    /// <returns>Whether there was anything to save.</returns>
    /// <exception cref="Terminal.OutputException">The file cannot be written.</exception>
    public bool Save(string path, Conversation conversation, CancellationToken cancellation)
    {
        if (conversation.Sequence.Tokens.Length == 0)
            return false;
        _store.Save(path, conversation.Sequence, cancellation, notes: ConversationNotes.Write(conversation));
        return true;
    }
}
