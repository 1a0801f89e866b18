using Llama2.Cli.Models;
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

    public Conversation Begin(string template, string system) => Begin(newSequence(null), Template(template), system);

    public Conversation Begin(Sequence sequence, ChatTemplate template, string system) => newConversation(sequence, template, system, []);

    /// <exception cref="ModelFileException">It is no conversation with this model.</exception>
    public Conversation Load(string path, CancellationToken cancellation)
    {
        SavedSession saved = _store.Load(path, cancellation);
        ConversationNotes notes = ConversationNotes.Read(path, saved);
        Sequence sequence = newSequence(saved);
        sequence.Sampler.RandomState = saved.RandomState; // in place of the seed that the program was started with
        return newConversation(sequence, Template(notes.Template), notes.System, notes.Turns);
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

    private static ChatTemplate Template(string name) => ChatTemplate.All.Single(template => template.Name == name);
}
