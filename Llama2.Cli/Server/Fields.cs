using System.Text.Json;

namespace Llama2.Cli.Server;

/// <summary>
/// The fields of a JSON object in a request. One that is absent or null counts as not given; one that is wrong is refused in words that
/// name it. Fields that nobody asks for are ignored, as OpenAI's clients expect.
/// </summary>
internal readonly struct Fields
{
    private readonly JsonElement _object;
    private readonly string _path; // of the object, with a dot at its end, or empty

    private Fields(JsonElement element, string path) => (_object, _path) = (element, path);

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
            using JsonDocument document = JsonDocument.Parse(utf8, options);
            JsonElement root = document.RootElement.Clone();
            return root.ValueKind == JsonValueKind.Object ? new(root, "")
                : throw ApiException.Invalid($"the body: expected a JSON object, found {Kind(root)}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter for half a surrogate pair in a name
        {
            throw ApiException.Invalid(e.Message.StartsWith("The maximum configured depth of ", StringComparison.Ordinal)
                ? $"the body is nested too deeply: expected at most {maxDepth} levels, its object counted"
                : "the body is no JSON: " + e.Message.ReplaceLineEndings(" "));
        }
    }

    /// <summary>The value of a field, if it is given.</summary>
    public JsonElement? Value(string name) =>
        _object.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    public bool Has(string name) => Value(name) is not null;

    public string? Text(string name) => Value(name) is { } value ? Text(value, _path + name) : null;

    public bool Flag(string name, bool otherwise = false) => Value(name) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Wrong(_path + name, "true or false", value),
    };

    public double? Number(string name, double min, double max) => Value(name) is { } value ? Number(value, _path + name, min, max) : null;

    public long? Whole(string name, long min, long max) => Value(name) is { } value ? Whole(value, _path + name, min, max) : null;

    /// <summary>The elements of an array, with the name of each; nothing if it is not given.</summary>
    public IEnumerable<(string Path, JsonElement Value)> Array(string name) => Value(name) is { } value ? Array(value, _path + name) : [];

    /// <summary>All of them.</summary>
    public IEnumerable<(string Name, JsonElement Value)> All
    {
        get
        {
            foreach (JsonProperty property in _object.EnumerateObject())
                yield return (Name(property), property.Value);
        }
    }

    private string Name(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Invalid($"{_path.TrimEnd('.')}: a name in it is no valid Unicode", _path.TrimEnd('.'));
        }
    }

    /// <summary>The fields of an object, if it is given.</summary>
    public Fields? Object(string name) => Value(name) is { } value ? Of(value, _path + name) : null;

    /// <summary>The fields of an object inside the request.</summary>
    public static Fields Of(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Object ? new(value, path + ".") : throw Wrong(path, "an object", value);

    public static IEnumerable<(string Path, JsonElement Value)> Array(JsonElement value, string path) =>
        value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().Select((element, i) => ($"{path}[{i}]", element))
        : throw Wrong(path, "an array", value);

    public static string Text(JsonElement value, string path)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong(path, "a string", value);
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Invalid($"{path}: this string is no valid Unicode", path);
        }
    }

    public static double Number(JsonElement value, string path, double min, double max) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max ? number
        : throw Wrong(path, $"a number from {min:R} to {max:R}", value);

    public static long Whole(JsonElement value, string path, long min, long max) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= min && number <= max ? number
        : throw Wrong(path, $"a whole number from {min} to {max}", value);

    /// <summary>The error of a field that is something else than it should be.</summary>
    public static ApiException Wrong(string path, string expected, JsonElement found) =>
        ApiException.Invalid($"{path}: expected {expected}, found {Kind(found)}", path);

    /// <summary>Refuses fields that would change the answer if this server knew what they mean.</summary>
    public void Refuse(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            bool isGiven = Value(name) is { } value && value.ValueKind != JsonValueKind.False
                && !(value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0)
                && !(value.ValueKind == JsonValueKind.String && value.ValueEquals(""));
            if (isGiven)
                throw Unsupported(name);
        }
    }

    /// <summary>Refuses numbers beyond those that turn off what this server does not have.</summary>
    public void RefuseUnless(params ReadOnlySpan<(string Name, double Min, double Max)> off)
    {
        foreach ((string name, double min, double max) in off)
        {
            if (Number(name, double.MinValue, double.MaxValue) is { } value && !(value >= min && value <= max))
                throw Unsupported(name);
        }
    }

    private ApiException Unsupported(string name) =>
        ApiException.Invalid($"{_path}{name} is not supported by this server", _path + name, "unsupported_parameter");

    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => value.GetRawText() is { Length: <= 30 } number ? number : "a long number",
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => "null",
    };
}
