using System.Text.Json;

namespace Llama2.Cli.Server;

/// <summary>
/// The fields of a JSON object in a request. One that is absent or null counts as not given; one that is wrong is refused in words that
/// name it. Fields that nobody asks for are ignored, as OpenAI's clients expect.
/// </summary>
/// <param name="value">The object.</param>
/// <param name="path">Its name with a dot at the end, or nothing where it is the body.</param>
internal readonly struct Fields(JsonElement value, string path)
{
    /// <summary>An object without fields.</summary>
    public static Fields Nothing { get; } = new(JsonElement.Parse("{}"), "");

    /// <summary>The object that a request's body is.</summary>
    /// <param name="maxDepth">Arrays and objects inside one another, itself counted.</param>
    /// <exception cref="ApiException">It is no JSON, no object, names a field twice or is nested too deeply.</exception>
    public static Fields Parse(ReadOnlyMemory<byte> utf8, int maxDepth)
    {
        JsonDocumentOptions options = new() { AllowDuplicateProperties = false, MaxDepth = maxDepth };
        try
        {
            Field body = new("", JsonElement.Parse(utf8.Span, options));
            return body.Kind == JsonValueKind.Object ? new(body.Value, "")
                : throw ApiException.Invalid($"the body: expected a JSON object, found {body.Found}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter for half a surrogate pair in a name
        {
            throw ApiException.Invalid(e.Message.StartsWith("The maximum configured depth of ", StringComparison.Ordinal)
                ? $"the body is nested too deeply: expected at most {maxDepth} levels, its object counted"
                : "the body is no JSON: " + e.Message.ReplaceLineEndings(" "));
        }
    }

    /// <summary>A field, if it is given.</summary>
    public Field? this[string name] =>
        value.TryGetProperty(name, out JsonElement field) && field.ValueKind != JsonValueKind.Null ? new(path + name, field) : null;

    /// <exception cref="ApiException">It is not given.</exception>
    public Field Required(string name) =>
        this[name] ?? throw ApiException.Invalid($"{path}{name}: expected it to be given", path + name);

    public string? Text(string name) => this[name]?.Text();

    public double? Number(string name, double min, double max) => this[name]?.Number(min, max);

    public long? Whole(string name, long min, long max) => this[name]?.Whole(min, max);

    public bool Flag(string name, bool otherwise = false) => this[name] switch
    {
        null => otherwise,
        { Kind: JsonValueKind.True } => true,
        { Kind: JsonValueKind.False } => false,
        { } field => throw field.Wrong("true or false"),
    };

    /// <summary>The elements of an array; nothing if it is not given.</summary>
    public IEnumerable<Field> Array(string name) => this[name]?.Array() ?? [];

    /// <summary>The fields of an object, if it is given.</summary>
    public Fields? Object(string name) => this[name]?.Object();

    /// <summary>All of them.</summary>
    public IEnumerable<(string Name, JsonElement Value)> All
    {
        get
        {
            foreach (JsonProperty property in value.EnumerateObject())
                yield return (Name(property), property.Value);
        }
    }

    private string Name(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException) // of bytes that are not UTF-8, which the parser lets pass
        {
            throw ApiException.Invalid($"{path.TrimEnd('.')}: a name in it is no valid Unicode", path.TrimEnd('.'));
        }
    }

    /// <summary>Refuses fields that would change the answer if this server knew what they mean.</summary>
    public void Refuse(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            bool isGiven = this[name] is { Kind: not JsonValueKind.False } field
                && !(field.Kind == JsonValueKind.Array && field.Value.GetArrayLength() == 0)
                && !(field.Kind == JsonValueKind.String && field.Value.ValueEquals(""));
            if (isGiven)
                throw Unsupported(name);
        }
    }

    /// <summary>Refuses numbers beyond those that turn off what this server does not have.</summary>
    public void RefuseUnless(params ReadOnlySpan<(string Name, double Min, double Max)> off)
    {
        foreach ((string name, double min, double max) in off)
        {
            if (Number(name, double.MinValue, double.MaxValue) is { } number && !(number >= min && number <= max))
                throw Unsupported(name);
        }
    }

    private ApiException Unsupported(string name) =>
        ApiException.Invalid($"{path}{name} is not supported by this server", path + name, "unsupported_parameter");
}

/// <summary>A value in a request.</summary>
/// <param name="Path">Its name in words of errors, as messages[0].role.</param>
/// <param name="Value">Null only where it is an element of an array.</param>
internal readonly record struct Field(string Path, JsonElement Value)
{
    public JsonValueKind Kind => Value.ValueKind;

    public string Text()
    {
        try
        {
            return Kind == JsonValueKind.String ? Value.GetString()! : throw Wrong("a string");
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Invalid($"{Path}: this string is no valid Unicode", Path);
        }
    }

    public double Number(double min, double max) =>
        Kind == JsonValueKind.Number && Value.TryGetDouble(out double number) && number >= min && number <= max ? number
        : throw Wrong($"a number from {min:R} to {max:R}");

    public long Whole(long min, long max) =>
        Kind == JsonValueKind.Number && Value.TryGetInt64(out long number) && number >= min && number <= max ? number
        : throw Wrong($"a whole number from {min} to {max}");

    /// <summary>The elements of an array.</summary>
    public IEnumerable<Field> Array()
    {
        string path = Path;
        return Kind == JsonValueKind.Array ? Value.EnumerateArray().Select((element, i) => new Field($"{path}[{i}]", element))
            : throw Wrong("an array");
    }

    /// <summary>The fields of an object.</summary>
    public Fields Object() => Kind == JsonValueKind.Object ? new(Value, Path + ".") : throw Wrong("an object");

    /// <summary>The error of a value that is something else than it should be.</summary>
    public ApiException Wrong(string expected) => ApiException.Invalid($"{Path}: expected {expected}, found {Found}", Path);

    /// <summary>What it is, in words of errors.</summary>
    public string Found => Kind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => Value.GetRawText() is { Length: <= 30 } number ? number : "a long number",
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => "null",
    };
}
