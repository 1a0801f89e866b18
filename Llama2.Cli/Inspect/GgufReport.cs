using System.Text.Json.Nodes;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Cli.Inspect;

/// <summary>The metadata of a GGUF file in the report; other formats have none.</summary>
internal static class GgufReport
{
    private const int MaxShown = 60, ElementsShown = 4; // characters of a text; elements of an array

    /// <summary>All keys with their values, of which long ones are cut.</summary>
    public static JsonObject Metadata(GgufMetadata metadata) =>
        new(metadata.Keys.Select(key => KeyValuePair.Create(key, (JsonNode?)Value(metadata, key, metadata.TypeOf(key)!.Value))));

    private static JsonValue? Value(GgufMetadata metadata, string key, GgufValueType type) => type switch
    {
        GgufValueType.Text => JsonValue.Create(Cut(metadata.GetString(key)!)),
        GgufValueType.Bool => JsonValue.Create(metadata.GetBool(key)),
        GgufValueType.F32 or GgufValueType.F64 when metadata.GetFloat(key) is { } value && float.IsFinite(value) =>
            JsonValue.Create(value),
        GgufValueType.F32 or GgufValueType.F64 => JsonValue.Create("not finite"),
        GgufValueType.U64 => JsonValue.Create(metadata.GetUnsigned(key)),
        GgufValueType.Array => JsonValue.Create(Array(metadata, key)),
        _ => JsonValue.Create(metadata.GetInteger(key)),
    };

    private static string Array(GgufMetadata metadata, string key)
    {
        int count = metadata.GetLength(key)!.Value;
        GgufValueType type = metadata.GetElementType(key)!.Value;
        string head = type switch
        {
            GgufValueType.Text => string.Join(", ", metadata.GetStrings(key, ElementsShown)!
                .Select(utf8 => Cut(System.Text.Encoding.UTF8.GetString(utf8.Span)))),
            GgufValueType.F32 or GgufValueType.F64 => string.Join(", ", metadata.GetFloats(key, ElementsShown)!),
            GgufValueType.I32 or GgufValueType.U16 or GgufValueType.I16 or GgufValueType.U8 or GgufValueType.I8 =>
                string.Join(", ", metadata.GetIntegers(key, ElementsShown)!),
            _ => "",
        };
        string rest = head.Length > 0 && count > ElementsShown ? ", ..." : "";
        return $"{count} of {type.ToString().ToLowerInvariant()}{(head.Length > 0 ? ": " : "")}{head}{rest}";
    }

    private static string Cut(string text)
    {
        string line = string.Concat(text.Take(MaxShown + 1).Select(c => char.IsControl(c) ? ' ' : c));
        return line.Length > MaxShown ? line[..MaxShown] + "..." : line;
    }
}
