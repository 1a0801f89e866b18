namespace Llama2.Simple.Text;

/// <summary>Whose words a message holds.</summary>
public enum Speaker { System, User, Assistant }

/// <summary>A message of a conversation.</summary>
/// <param name="Speaker">Whose it is.</param>
/// <param name="Text">What was said, without any marker.</param>
public sealed record Message(Speaker Speaker, string Text);

/// <summary>A conversation that a template has no form for: the message says which rule it breaks.</summary>
public sealed class ChatTemplateException(string message) : Exception(message);
