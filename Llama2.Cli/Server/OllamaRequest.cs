using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>Reads the bodies of Ollama's API, whose answers come in parts unless they say otherwise.</summary>
internal static class OllamaRequest
{
    /// <summary>
    /// The name that a request calls the model by. Where a request loads a model in Ollama it changes nothing here, and so do its fields
    /// keep_alive and those that say how a model is run.
    /// </summary>
    /// <exception cref="ApiException">The server has no such model.</exception>
    public static string ModelName(Fields fields, ServedModel model)
    {
        string name = (fields["model"] ?? fields["name"] ?? fields.Required("model")).Text();
        return name == model.Name || name == Tagged(model) ? name : throw new ApiException(
            404, "not_found_error", $"there is no model of this name; this server has {Tagged(model)}", "model", "model_not_found");
    }

    /// <summary>A model's name as Ollama lists it.</summary>
    public static string Tagged(ServedModel model) => model.Name + ":latest";

    /// <summary>Reads the body of POST /api/generate; null where it has no prompt, and is only to load the model.</summary>
    /// <exception cref="ApiException">It is not understood, or asks for something that this server does not do.</exception>
    public static TextRequest? Generate(Fields fields, ServedModel model, string user)
    {
        fields.Refuse("suffix", "images", "template", "context", "format", "think");
        string prompt = fields.Text("prompt") ?? "", system = fields.Text("system") ?? "";
        bool isRaw = fields.Flag("raw");
        if (isRaw && system != "")
            throw ApiException.Invalid("system: expected no such field beside raw", "system");
        if (prompt == "")
            return null;
        Message[] messages = [new(Speaker.System, system), new(Speaker.User, prompt)];
        int[] tokens = isRaw ? model.Encode(prompt) : ChatPrompt.Encode(messages[(system == "" ? 1 : 0)..], model);
        return Create(fields, model, user, tokens, isRaw ? [] : model.Template.Stops);
    }

    /// <summary>Reads the body of POST /api/chat; null where it has no messages.</summary>
    /// <exception cref="ApiException">As above.</exception>
    public static TextRequest? Chat(Fields fields, ServedModel model, string user)
    {
        fields.Refuse("tools", "format", "think");
        Field[] messages = [.. fields.Array("messages")];
        return messages.Length == 0 ? null
            : Create(fields, model, user, ChatPrompt.Encode(messages, model), model.Template.Stops);
    }

    private static TextRequest Create(Fields fields, ServedModel model, string user, int[] prompt, IEnumerable<string> stops)
    {
        Fields options = fields.Object("options") ?? Fields.Nothing;
        SamplingFields sampling = new(options, model, SamplingDefaults.Ollama);
        long wanted = options.Whole("num_predict", -2, int.MaxValue) ?? -1; // less than 0: all that the context holds
        int max = Math.Min(wanted < 0 ? int.MaxValue : (int)wanted, model.Room(options, "num_ctx", prompt));
        return TextRequest.One(
            sampling.Text(prompt, max, TextRequest.CacheKey(fields, user), 0, stops, TextRequest.TopLogProbs(fields, model)),
            streams: fields.Flag("stream", otherwise: true));
    }
}
