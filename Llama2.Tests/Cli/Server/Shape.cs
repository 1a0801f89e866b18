using System.Text.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>The shape of a JSON value in a line: its fields in order, and of arrays the first element.</summary>
internal static class Shape
{
    public static string Of(JsonNode? node) => node switch
    {
        null => "null",
        JsonObject fields => "{" + string.Join(",", fields.Select(field => $"{field.Key}:{Of(field.Value)}")) + "}",
        JsonArray { Count: 0 } => "[]",
        JsonArray elements => $"[{Of(elements[0])}]",
        _ => node.GetValueKind() switch
        {
            JsonValueKind.String => "text",
            JsonValueKind.Number => "number",
            _ => node.ToJsonString(),
        },
    };
}
