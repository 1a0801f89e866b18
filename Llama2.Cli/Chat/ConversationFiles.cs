using Llama2.Cli.Commands;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Chat;

/// <summary>Begins conversations, saves them and goes on with saved ones, all with the same options.</summary>
/// <param name="model">The model.</param>
/// <param name="session">A session with the sampling that was asked for, on a saved one's state or from the beginning.</param>
/// <param name="create">A conversation with the options that were given.</param>
internal sealed class ConversationFiles(LoadedModel model, Func<SavedSession?, Session> session, Func<Session, ChatTemplate, string, IEnumerable<Turn>, Conversation> create)
{
    private readonly SessionStore _store = new(model);

    /// <summary>The model's context in tokens.</summary>
    public int Context => model.Config.SeqLen;

    public Conversation Begin(ChatTemplate template, string system) => Begin(session(null), template, system);

    public Conversation Begin(Session session, ChatTemplate template, string system) => create(session, template, system, []);

    /// <exception cref="SessionException">It is no conversation with this model.</exception>
    public Conversation Load(string path)
    {
        SavedSession saved = _store.Load(path);
        ConversationNotes notes = ConversationNotes.Read(path, saved);
        Session loaded = session(saved with { Tokens = saved.Tokens[..^1] });
        loaded.Sampler.RandomState = saved.RandomState; // whatever seed the program was started with
        loaded.Feed([saved.Tokens[^1]]);
        return create(loaded, ChatTemplate.All.Single(template => template.Name == notes.Template), notes.System, notes.Turns);
    }

    /// <returns>Whether there was anything to save.</returns>
    /// <exception cref="OutputException">The file cannot be written.</exception>
    public bool Save(string path, Conversation conversation)
    {
        if (conversation.Session.Tokens.Length == 0)
            return false;
        _store.Save(path, conversation.Session, pending: null, secondsPerToken: 0, ConversationNotes.Write(conversation));
        return true;
    }
}
