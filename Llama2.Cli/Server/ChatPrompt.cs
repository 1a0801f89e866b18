using System.Text.Json;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>The messages of a conversation as tokens, up to where the answer begins.</summary>
internal static class ChatPrompt
{
    private const string Between = "\n\n"; // messages of one role that follow one another

    /// <summary>
    /// System messages come first, and those of one role that follow one another are one message. If the last message is the assistant's,
    /// the answer goes on with it.
    /// </summary>
    /// <exception cref="ApiException">The messages are not understood, or do not fit in the context.</exception>
    public static int[] Encode(IEnumerable<Field> elements, ServedModel model)
    {
        List<Message> messages = [];
        foreach (Field element in elements)
        {
            Message next = Read(element);
            bool goesOn = messages.Count > 0 && messages[^1].Speaker == next.Speaker;
            if (next.Speaker == Speaker.System && messages.Count > 0 && !goesOn)
                throw ApiException.Invalid($"{element.Path}.role: expected system messages only at the beginning", "messages");
            if (goesOn)
                messages[^1] = next with { Text = messages[^1].Text + Between + next.Text };
            else
                messages.Add(next);
        }
        return Encode(messages, model);
    }

    /// <summary>The same for messages of which no two that follow one another are of one role.</summary>
    public static int[] Encode(IReadOnlyList<Message> messages, ServedModel model)
    {
        if (messages.All(message => message.Speaker == Speaker.System))
            throw ApiException.Invalid("messages: expected at least one of role user", "messages");
        model.CheckLength(string.Concat(messages.Select(message => message.Text)));

        string begun = messages[^1].Speaker == Speaker.Assistant ? messages[^1].Text : "";
        Message[] said = [.. messages.SkipLast(messages[^1].Speaker == Speaker.Assistant ? 1 : 0)];
        try
        {
            int[] tokens = model.Template.Encode(model.Tokenizer, said);
            return model.Checked([.. tokens, .. model.Tokenizer.Encode(begun, bos: false, blank: false)]);
        }
        catch (ChatTemplateException e)
        {
            throw ApiException.Invalid(e.Message, "messages");
        }
    }

    private static Message Read(Field element)
    {
        Fields message = element.Object();
        message.Refuse("tool_calls", "function_call", "audio", "images");
        Speaker speaker = message.Text("role") switch
        {
            "system" or "developer" => Speaker.System,
            "user" => Speaker.User,
            "assistant" => Speaker.Assistant,
            "tool" or "function" => throw ApiException.Invalid($"{element.Path}.role: this server has no tools", "messages"),
            _ => throw ApiException.Invalid($"{element.Path}.role: expected system, developer, user or assistant", "messages"),
        };
        return new(speaker, Content(message, element.Path));
    }

    private static string Content(Fields message, string path)
    {
        if (message["content"] is not { } content)
            throw ApiException.Invalid($"{path}.content: expected it to be given", "messages");
        if (content.Kind == JsonValueKind.String)
            return content.Text();
        return string.Concat(content.Array().Select(part =>
        {
            Fields fields = part.Object();
            return fields.Text("type") == "text" ? fields.Text("text") ?? ""
                : throw ApiException.Invalid($"{part.Path}.type: only text is supported by this server", "messages");
        }));
    }
}
