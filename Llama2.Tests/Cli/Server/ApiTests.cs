using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>What the endpoints answer, field by field.</summary>
public sealed class ApiTests(StoryServer story) : IClassFixture<StoryServer>
{
    private readonly RunningServer _server = story.Server;

    private static object Message(string text, string role = "user") => new { role, content = text };

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_chat_streams_a_role_then_text_then_a_reason_then_counts_if_they_were_asked_for(bool usage)
    {
        List<string> events = await _server.StreamAsync("/v1/chat/completions", new
        {
            messages = new[] { Message("Once upon a time") },
            max_tokens = 5,
            temperature = 0,
            stream = true,
            stream_options = new { include_usage = usage },
        });
        Assert.Equal("[DONE]", events[^1]);
        JsonNode[] chunks = [.. events.SkipLast(1).Select(json => JsonNode.Parse(json)!)];
        Assert.Single(chunks.Select(chunk => $"{chunk["id"]} {chunk["created"]} {chunk["system_fingerprint"]!}").Distinct());
        Assert.All(chunks, chunk => Assert.Equal("chat.completion.chunk", (string)chunk["object"]!));
        Assert.StartsWith("chatcmpl-", (string)chunks[0]["id"]!, StringComparison.Ordinal);
        Assert.Equal("""{"role":"assistant","content":""}""", chunks[0]["choices"]![0]!["delta"]!.ToJsonString());
        JsonNode[] contents = usage ? chunks[1..^2] : chunks[1..^1];
        Assert.Equal(5, contents.Length);
        Assert.All(contents, chunk =>
        {
            JsonObject choice = (JsonObject)chunk["choices"]![0]!;
            Assert.Equal(["content"], ((JsonObject)choice["delta"]!).Select(field => field.Key));
            Assert.True(choice.ContainsKey("finish_reason") && choice["finish_reason"] is null);
        });
        JsonNode last = (usage ? chunks[^2] : chunks[^1])["choices"]![0]!;
        Assert.Equal(("{}", "length"), (last["delta"]!.ToJsonString(), (string)last["finish_reason"]!));
        Assert.Equal(usage ? 1 : 0, chunks.Count(chunk => ((JsonObject)chunk).ContainsKey("usage")));
        if (usage)
        {
            Assert.Empty((JsonArray)chunks[^1]["choices"]!);
            Assert.Equal(5, (int)chunks[^1]["usage"]!["completion_tokens"]!);
        }
    }

    [Fact]
    public async Task Several_prompts_and_texts_come_in_order_and_each_text_has_a_seed_of_its_own()
    {
        (int status, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = new[] { "Once", "One day" }, n = 3, seed = 5, max_tokens = 30, echo = true });
        Assert.Equal(200, status);
        string[] texts = [.. ((JsonArray)answer["choices"]!).Select(choice => (string)choice!["text"]!)];
        Assert.Equal(Enumerable.Range(0, 6), ((JsonArray)answer["choices"]!).Select(choice => (int)choice!["index"]!));
        Assert.All(texts[..3], text => Assert.StartsWith("Once", text, StringComparison.Ordinal));
        Assert.All(texts[3..], text => Assert.StartsWith("One day", text, StringComparison.Ordinal));
        Assert.Equal(6, texts.Distinct().Count());
        Assert.Equal(texts[1], await _server.CompleteAsync(new { prompt = "Once", seed = 6, max_tokens = 30, echo = true }));
        Assert.Equal(6 * 30, (int)answer["usage"]!["completion_tokens"]!);
    }

    [Fact]
    public async Task Tokens_as_a_prompt_are_taken_as_they_are()
    {
        object body = new { prompt = "Once upon a time", temperature = 0, max_tokens = 8 };
        (_, JsonNode ids) = await _server.PostAsync("/tokenize", new { content = "Once upon a time", add_special = true });
        string expected = await _server.CompleteAsync(body);
        Assert.Equal(expected, await _server.CompleteAsync(new { prompt = ids["tokens"], temperature = 0, max_tokens = 8 }));
        JsonNode[] many = [ids["tokens"]!.DeepClone()];
        Assert.Equal(expected, await _server.CompleteAsync(new { prompt = many, temperature = 0, max_tokens = 8 }));
    }

    [Fact]
    public async Task Echo_with_log_probabilities_scores_a_prompt()
    {
        (_, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = "Once upon a time", echo = true, logprobs = 2, max_tokens = 0 });
        JsonNode choice = answer["choices"]![0]!, logProbs = choice["logprobs"]!;
        Assert.Equal("Once upon a time", (string)choice["text"]!);
        Assert.Equal("length", (string)choice["finish_reason"]!);
        int count = ((JsonArray)logProbs["tokens"]!).Count;
        Assert.Equal("Once upon a time", string.Concat(((JsonArray)logProbs["tokens"]!).Select(token => (string)token!)).TrimStart());
        Assert.Equal((count, count, count), (((JsonArray)logProbs["token_logprobs"]!).Count, ((JsonArray)logProbs["top_logprobs"]!).Count,
            ((JsonArray)logProbs["text_offset"]!).Count));
        Assert.All((JsonArray)logProbs["token_logprobs"]!, value => Assert.InRange((double)value!, -50, 0));
        Assert.All((JsonArray)logProbs["top_logprobs"]!, top => Assert.Equal(2, ((JsonObject)top!).Count));
    }

    [Theory]
    [InlineData("\"Once upon a time\"", true)]
    [InlineData("\"One day, a 猫 saw a 🐈.\"", true)]
    [InlineData("\"\"", true)]
    [InlineData("[300,198,164,301,17,198]", true)] // no BOS, half a character, a control character
    [InlineData("\"Once upon a time\"", false)]
    [InlineData("\"\"", false)]
    public async Task Tokens_are_found_in_the_text_where_their_offsets_say(string prompt, bool echo)
    {
        JsonNode body = JsonNode.Parse($$"""{"prompt":{{prompt}},"seed":7,"temperature":2,"max_tokens":60,"logprobs":1}""")!;
        body["echo"] = echo;
        (_, JsonNode answer) = await _server.PostAsync("/v1/completions", body);
        JsonNode choice = answer["choices"]![0]!;
        string text = (string)choice["text"]!;
        (string Token, int Offset)[] tokens = Tokens([choice]);
        int end = 0; // of the last one that is text
        foreach ((string token, int offset) in tokens)
        {
            Assert.InRange(offset, end, text.Length);
            if (token.StartsWith("bytes:", StringComparison.Ordinal) || token is [< ' ' and not '\n'])
                continue;
            Assert.Equal(token, text.Substring(offset, token.Length));
            Assert.All(text[end..offset], character => Assert.True(character == '\ufffd' || character > 'z')); // made of several tokens
            end = offset + token.Length;
        }
        Assert.True(tokens.Any(token => token.Token.StartsWith("bytes:", StringComparison.Ordinal)) || !prompt.Contains('猫'));

        body["stream"] = true;
        List<string> events = await _server.StreamAsync("/v1/completions", body);
        JsonNode[] choices = [.. events.SkipLast(1).Select(json => JsonNode.Parse(json)!["choices"]![0]!)];
        Assert.Equal(text, string.Concat(choices.Select(choice => (string)choice["text"]!)));
        Assert.Equal(tokens, Tokens(choices[..^1]));

        static (string, int)[] Tokens(IEnumerable<JsonNode> choices) =>
            [.. choices.Select(choice => choice["logprobs"]!).SelectMany(logProbs => ((JsonArray)logProbs["tokens"]!)
                .Zip((JsonArray)logProbs["text_offset"]!).Select(pair => ((string)pair.First!, (int)pair.Second!)))];
    }

    [Fact]
    public async Task A_stop_string_ends_a_text_before_it_and_logarithms_end_there_too()
    {
        string text = await _server.CompleteAsync(new { prompt = "Once upon a time", temperature = 0, max_tokens = 40 });
        string stop = text[9..14]; // somewhere inside, over the borders of tokens
        (_, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = "Once upon a time", temperature = 0, max_tokens = 40, stop = new[] { stop, "never" }, logprobs = 1 });
        JsonNode choice = answer["choices"]![0]!;
        Assert.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], (string)choice["text"]!);
        Assert.Equal("stop", (string)choice["finish_reason"]!);
        string tokens = string.Concat(((JsonArray)choice["logprobs"]!["tokens"]!).Select(token => (string)token!));
        Assert.StartsWith((string)choice["text"]!, tokens, StringComparison.Ordinal);

        List<string> events = await _server.StreamAsync("/v1/completions",
            new { prompt = "Once upon a time", temperature = 0, max_tokens = 40, stop, stream = true });
        Assert.Equal((string)choice["text"]!,
            string.Concat(events.SkipLast(1).Select(json => (string)JsonNode.Parse(json)!["choices"]![0]!["text"]!)));
    }

    [Fact]
    public async Task Biases_and_penalties_change_the_text_as_they_should()
    {
        (_, JsonNode ids) = await _server.PostAsync("/tokenize", new { content = "," });
        int comma = (int)ids["tokens"]![0]!;
        object Body(object? bias = null, double presence = 0, double frequency = 0) => new
        {
            prompt = "Once upon a time",
            temperature = 0,
            max_tokens = 60,
            logit_bias = bias,
            presence_penalty = presence,
            frequency_penalty = frequency,
        };
        string plain = await _server.CompleteAsync(Body());
        Assert.Contains(',', plain);
        Assert.DoesNotContain(',', await _server.CompleteAsync(Body(new Dictionary<string, int> { [$"{comma}"] = -100 })));
        Assert.NotEqual(plain, await _server.CompleteAsync(Body(presence: 2)));
        Assert.NotEqual(plain, await _server.CompleteAsync(Body(frequency: 2)));
    }

    [Fact]
    public async Task A_template_makes_a_prompt_and_a_system_message_is_part_of_it()
    {
        (_, JsonNode answer) = await _server.PostAsync("/apply-template",
            new { messages = new[] { Message("Be kind.", "system"), Message("A cat"), Message(" sat.", "assistant"), Message("Why?") } });
        Assert.StartsWith("Be kind. A cat sat.", (string)answer["prompt"]!, StringComparison.Ordinal);
        (_, JsonNode text) = await _server.PostAsync("/detokenize", new { tokens = answer["tokens"] });
        Assert.Contains("Be kind. A cat sat.", (string)text["content"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_that_is_part_of_a_character_is_shown_as_bytes()
    {
        (_, JsonNode answer) = await _server.PostAsync("/tokenize", new { content = "á", with_pieces = true });
        Assert.Equal("""[{"id":198,"piece":[195]},{"id":164,"piece":[161]}]""", answer["tokens"]!.ToJsonString()); // llama.cpp's example
    }

    [Fact]
    public async Task It_says_how_it_is()
    {
        foreach (string path in new[] { "/health", "/v1/health" })
            Assert.Equal("""{"status":"ok"}""", await _server.Client.GetStringAsync(path));
        JsonNode model = JsonNode.Parse(await _server.Client.GetStringAsync("/v1/models/tales659K"))!;
        Assert.Equal(("tales659K", 512), ((string)model["id"]!, (int)model["max_model_len"]!));
        JsonNode props = JsonNode.Parse(await _server.Client.GetStringAsync("/props"))!;
        Assert.Equal(("plain", 4, 512), ((string)props["chat_template"]!, (int)props["total_slots"]!, (int)props["n_ctx"]!));
        Assert.Equal(4, (await _server.SlotsAsync()).Count);
    }

    [Fact]
    public async Task Metrics_count_and_the_log_has_a_line_for_a_request_without_its_text()
    {
        double before = await _server.MetricAsync("llamacpp:tokens_predicted_total");
        await _server.CompleteAsync(new { prompt = "Once upon a SECRET", temperature = 0, max_tokens = 7 });
        Assert.Equal(7, await _server.MetricAsync("llamacpp:tokens_predicted_total") - before);
        Assert.Equal(0, await _server.MetricAsync("llamacpp:requests_processing"));
        Assert.True(await _server.MetricAsync("vllm:time_to_first_token_seconds_count") > 0);
        await RunningServer.UntilAsync(() => _server.Log.Contains("generated=7 ", StringComparison.Ordinal));
        Assert.Matches(@"request id=[0-9a-f]{16} path=/v1/completions status=200 prompt=\d+ cached=\d+ generated=7 .*end=length",
            _server.Log);
        Assert.DoesNotContain("SECRET", _server.Log, StringComparison.Ordinal);
    }
}
