using System.Text.Json;

namespace Llama2.Tests.Golden;

/// <summary>Texts of Python's jinja2, for templates in this project's own wording.</summary>
public sealed class ChatTemplateGoldenTests
{
    public static TheoryData<string> Templates => new(Cases().Select(c => c.File).Distinct());

    private sealed record Case(string File, string Name, string Bos, string Eos, Message[]? Messages, bool Asks, string? Text);

    private static IEnumerable<Case> Cases()
    {
        using JsonDocument json = JsonDocument.Parse(Own("chat.json"));
        foreach (JsonElement template in json.RootElement.GetProperty("templates").EnumerateArray())
        {
            foreach (JsonElement c in template.GetProperty("cases").EnumerateArray())
            {
                JsonElement input = c.GetProperty("input");
                yield return new Case(
                    template.GetProperty("template").GetString()!, c.GetProperty("name").GetString()!,
                    template.GetProperty("bos_token").GetString()!, template.GetProperty("eos_token").GetString()!,
                    Messages(input), input.GetProperty("add_generation_prompt").GetBoolean(),
                    c.TryGetProperty("text", out JsonElement text) ? text.GetString() : null);
            }
        }
    }

    // Null where a message is neither the system's, the user's nor the assistant's: these have no form here.
    private static Message[]? Messages(JsonElement input)
    {
        List<Message> messages = [];
        foreach (JsonElement message in input.GetProperty("messages").EnumerateArray())
        {
            if (!Enum.TryParse(message.GetProperty("role").GetString(), ignoreCase: true, out Speaker speaker)
                || message.TryGetProperty("tool_calls", out _))
                return null;
            messages.Add(new Message(speaker, message.GetProperty("content").GetString()!));
        }
        return [.. messages];
    }

    private static string Own(string file) => File.ReadAllText(Path.Combine(Repository.Golden("chat"), file));

    private static ChatTemplate Recognised(string file) => ChatTemplateRecognition.Recognise(Own(file))!;

    [Theory]
    [MemberData(nameof(Templates))]
    public void A_recognised_template_writes_what_jinja_writes_and_refuses_what_jinja_refuses(string file)
    {
        ChatTemplate template = Recognised(file);
        Case[] cases = [.. Cases().Where(c => c.File == file && c.Messages is not null)];
        Assert.True(cases.Length >= 6, $"{cases.Length} cases");
        foreach (Case c in cases)
        {
            if (c.Text is null)
                Assert.Throws<ChatTemplateException>(() => template.Render(c.Messages!, c.Bos, c.Eos, c.Asks));
            else
                Assert.Equal(c.Text, template.Render(c.Messages!, c.Bos, c.Eos, c.Asks));
        }
    }

    [Theory]
    [InlineData("alpaca", "alpaca")]
    [InlineData("chatml", "chatml")]
    [InlineData("guanaco", "guanaco")]
    [InlineData("llama2", "llama2")]
    [InlineData("llama3", "llama3")]
    [InlineData("llama31", "llama3.1")]
    [InlineData("mistral-v1", "mistral-v1")]
    [InlineData("mistral-v3", "mistral-v3")]
    [InlineData("tinyllama", "tinyllama")]
    [InlineData("zephyr", "zephyr")]
    public void A_template_is_recognised_by_name(string file, string name) => Assert.Equal(name, Recognised(file + ".jinja").Name);
}
