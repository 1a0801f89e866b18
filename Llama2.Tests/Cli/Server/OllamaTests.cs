using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>Ollama's API: its parts, its counts, and the bytes of generate.</summary>
public sealed class OllamaTests(StoryServer story) : IClassFixture<StoryServer>
{
    private const string Model = "tales659K:latest", Prompt = "Once upon a time";

    private readonly RunningServer _server = story.Server;

    private static string Text(JsonNode[] parts, Func<JsonNode, JsonNode?> text) =>
        string.Concat(parts.Select(part => (string)text(part)!));

    [Fact]
    public async Task The_text_is_generate_s_streamed_and_whole_raw_and_as_a_chat()
    {
        string[] args = ["-i", Prompt, "-s", "11", "-t", "0.7", "-p", "0.8", "--top-k", "30", "--repeat-penalty", "1.2",
            "--repeat-last-n", "20", "--silent"];
        int tokens = 7 + 40; // of the prompt with BOS, and of the answer but its last, which is not fed
        string expected = BuiltProgram.Run([.. args, "-n", $"{tokens}"]).Out.TrimEnd('\n')[Prompt.Length..];
        object options = new
        {
            seed = 11,
            temperature = 0.7f,
            top_p = 0.8f,
            top_k = 30,
            repeat_penalty = 1.2f,
            repeat_last_n = 20,
            num_predict = 41,
        };
        JsonNode[] parts = await _server.LinesAsync("/api/generate", new { model = Model, prompt = Prompt, raw = true, options });
        Assert.Equal(expected, Text(parts, part => part["response"]));
        (_, JsonNode whole) = await _server.PostAsync("/api/generate",
            new { model = Model, prompt = Prompt, raw = true, stream = false, options });
        Assert.Equal(expected, (string)whole["response"]!);
        object[] messages = [new { role = "user", content = Prompt }]; // the plain template adds nothing
        parts = await _server.LinesAsync("/api/chat", new { model = Model, messages, options });
        Assert.Equal(expected, Text(parts, part => part["message"]!["content"]));
        (_, whole) = await _server.PostAsync("/api/generate", new { model = Model, prompt = Prompt, stream = false, options });
        Assert.Equal(expected, (string)whole["response"]!);
    }

    [Fact]
    public async Task Only_the_last_part_is_done_and_it_has_the_counts()
    {
        object options = new { num_predict = 4, temperature = 0 };
        JsonNode[] parts = await _server.LinesAsync("/api/generate",
            new { model = "tales659K", prompt = Prompt, logprobs = true, top_logprobs = 2, options });
        Assert.All(parts, part => Assert.Equal("tales659K", (string)part["model"]!));
        Assert.All(parts, part => Assert.InRange((DateTime)part["created_at"]!, DateTime.UtcNow.AddMinutes(-5), DateTime.UtcNow));
        Assert.All(parts[..^1], part =>
        {
            Assert.Equal(["model", "created_at", "done", "response", "logprobs"], ((JsonObject)part).Select(field => field.Key));
            JsonNode token = Assert.Single((JsonArray)part["logprobs"]!)!;
            Assert.Equal((string)part["response"]!, (string)token["token"]!);
            Assert.Equal(2, ((JsonArray)token["top_logprobs"]!).Count);
        });
        JsonNode last = parts[^1];
        Assert.Equal((true, "length", 7, 4), ((bool)last["done"]!, (string)last["done_reason"]!, (int)last["prompt_eval_count"]!,
            (int)last["eval_count"]!));
        Assert.True((long)last["total_duration"]! >= (long)last["prompt_eval_duration"]! + (long)last["eval_duration"]!);
        Assert.True((long)last["eval_duration"]! > 0);
        Assert.Equal(1, parts.Count(part => (bool)part["done"]!));
    }

    [Fact]
    public async Task A_text_ends_at_a_stop_string_an_end_token_or_the_window_that_was_asked_for()
    {
        Assert.Equal(("stop", " upon a"), await EndAsync(new { seed = 3, temperature = 0, stop = new[] { " time" } }));
        (string reason, string text) = await EndAsync(new { seed = 2 });
        Assert.Equal("stop", reason);
        Assert.EndsWith(".", text, StringComparison.Ordinal);
        Assert.Equal("length", (await EndAsync(new { seed = 2, num_ctx = 20, num_predict = 400 })).Reason);

        async Task<(string Reason, string Text)> EndAsync(object options)
        {
            (int status, JsonNode whole) = await _server.PostAsync("/api/generate",
                new { model = Model, prompt = "Once", raw = true, stream = false, options });
            Assert.True(status == 200, whole.ToJsonString());
            return ((string)whole["done_reason"]!, (string)whole["response"]!);
        }
    }

    [Fact]
    public async Task Without_a_prompt_the_model_is_there_and_another_model_is_not()
    {
        (int status, JsonNode loaded) = await _server.PostAsync("/api/generate", new { model = Model });
        Assert.Equal((200, true, "load"), (status, (bool)loaded["done"]!, (string)loaded["done_reason"]!));
        (status, loaded) = await _server.PostAsync("/api/chat", new { model = Model, messages = Array.Empty<object>(), keep_alive = 0 });
        Assert.Equal((200, ""), (status, (string)loaded["message"]!["content"]!));
        foreach (string path in new[] { "/api/generate", "/api/chat", "/api/show", "/api/embed", "/api/embeddings" })
        {
            (status, JsonNode error) = await _server.PostAsync(path, new { model = "llama3", prompt = "a" });
            Assert.Equal((404, $"there is no model of this name; this server has {Model}"), (status, (string)error["error"]!));
        }
    }

    [Fact]
    public async Task Embeddings_are_those_of_OpenAI_s_route()
    {
        object body = new { model = Model, input = new[] { "The cat sat.", "One day" }, prompt = "The cat sat." };
        (_, JsonNode expected) = await _server.PostAsync("/v1/embeddings", body);
        (_, JsonNode vectors) = await _server.PostAsync("/api/embed", body);
        (_, JsonNode vector) = await _server.PostAsync("/api/embeddings", body);
        JsonArray all = (JsonArray)vectors["embeddings"]!;
        Assert.Equal(((JsonArray)expected["data"]!).Select(entry => entry!["embedding"]!.ToJsonString()),
            all.Select(one => one!.ToJsonString()));
        Assert.Equal(all[0]!.ToJsonString(), vector["embedding"]!.ToJsonString());
        Assert.Equal((int)expected["usage"]!["prompt_tokens"]!, (int)vectors["prompt_eval_count"]!);
    }

    [Fact]
    public async Task It_describes_its_model_and_says_what_clients_look_for()
    {
        Assert.Equal("Ollama is running", await _server.Client.GetStringAsync("/"));
        using HttpResponseMessage head = await _server.Client.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/"));
        Assert.Equal(200, (int)head.StatusCode);
        Assert.Matches("""^\{"version":"\d+\.\d+\.\d+"\}$""", await _server.Client.GetStringAsync("/api/version"));
        JsonNode listed = JsonNode.Parse(await _server.Client.GetStringAsync("/api/tags"))!["models"]![0]!;
        JsonNode running = JsonNode.Parse(await _server.Client.GetStringAsync("/api/ps"))!["models"]![0]!;
        Assert.Equal((Model, 2_667_420), ((string)listed["name"]!, (long)listed["size"]!));
        Assert.InRange((DateTime)listed["modified_at"]!, new DateTime(2020, 1, 1), DateTime.Now.AddDays(1)); // the program's own
        Assert.Matches("^[0-9a-f]{64}$", (string)listed["digest"]!);
        Assert.Equal(("llama2.c", "llama", "0.7M", "f32"), ((string)listed["details"]!["format"]!, (string)listed["details"]!["family"]!,
            (string)listed["details"]!["parameter_size"]!, (string)listed["details"]!["quantization_level"]!));
        Assert.Equal(((string)listed["digest"]!, 512), ((string)running["digest"]!, (int)running["context_length"]!));
        (_, JsonNode shown) = await _server.PostAsync("/api/show", new { model = Model });
        Assert.Equal((658_656, 512, 96), ((int)shown["model_info"]!["general.parameter_count"]!,
            (int)shown["model_info"]!["llama.context_length"]!, (int)shown["model_info"]!["llama.embedding_length"]!));
        Assert.Equal("""["completion","embedding"]""", shown["capabilities"]!.ToJsonString());
    }
}
