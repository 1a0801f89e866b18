using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Llama2.Cli.Server;

namespace Llama2.Tests.Cli.Server;

/// <summary>Requests that are wrong, not allowed or too many get an error that says so, and the server goes on.</summary>
public sealed class RefusalTests(StoryServer story) : IClassFixture<StoryServer>
{
    private readonly RunningServer _server = story.Server;

    [Theory]
    [InlineData("/v1/completions", "")]
    [InlineData("/v1/completions", "{")]
    [InlineData("/v1/completions", "[]")]
    [InlineData("/v1/completions", "null")]
    [InlineData("/v1/completions", "{}")]
    [InlineData("/v1/completions", """{"prompt":"a","prompt":"b"}""")]
    [InlineData("/v1/completions", """{"prompt":"a"} {}""")]
    [InlineData("/v1/completions", """{"prompt":"\ud800"}""")]
    [InlineData("/v1/completions", """{"\ud800":"a"}""")]
    [InlineData("/v1/completions", """{"prompt":"a","max_tokens":"5"}""")]
    [InlineData("/v1/completions", """{"prompt":"a","max_tokens":-2}""")]
    [InlineData("/v1/completions", """{"prompt":"a","max_tokens":1.5}""")]
    [InlineData("/v1/completions", """{"prompt":"a","max_tokens":99999999999999999999}""")]
    [InlineData("/v1/completions", """{"prompt":"a","temperature":-1}""")]
    [InlineData("/v1/completions", """{"prompt":"a","temperature":1e999}""")]
    [InlineData("/v1/completions", """{"prompt":"a","top_p":2}""")]
    [InlineData("/v1/completions", """{"prompt":"a","n":0}""")]
    [InlineData("/v1/completions", """{"prompt":"a","n":100000}""")]
    [InlineData("/v1/completions", """{"prompt":"a","n":2,"best_of":3}""")]
    [InlineData("/v1/completions", """{"prompt":"a","stop":""}""")]
    [InlineData("/v1/completions", """{"prompt":"a","stop":[1]}""")]
    [InlineData("/v1/completions", """{"prompt":"a","logit_bias":{"x":1}}""")]
    [InlineData("/v1/completions", """{"prompt":"a","logit_bias":{"512":1}}""")]
    [InlineData("/v1/completions", """{"prompt":"a","logit_bias":{"5":101}}""")]
    [InlineData("/v1/completions", """{"prompt":"a","suffix":"b"}""")]
    [InlineData("/v1/completions", """{"prompt":"a","grammar":"root ::= x"}""")]
    [InlineData("/v1/completions", """{"prompt":"a","stream":"yes"}""")]
    [InlineData("/v1/completions", """{"prompt":"a","stream_options":{"include_usage":true}}""")]
    [InlineData("/v1/completions", """{"prompt":[]}""")]
    [InlineData("/v1/completions", """{"prompt":[[]]}""")]
    [InlineData("/v1/completions", """{"prompt":[512]}""")]
    [InlineData("/v1/completions", """{"prompt":[-1]}""")]
    [InlineData("/v1/completions", """{"prompt":[1,"a"]}""")]
    [InlineData("/completion", "{")]
    [InlineData("/completion", "{}")]
    [InlineData("/completion", """{"prompt":{"prompt_string":"a"}}""")]
    [InlineData("/completion", """{"prompt":[1,"a"]}""")]
    [InlineData("/completion", """{"prompt":"a","n_predict":-2}""")]
    [InlineData("/completion", """{"prompt":"a","n_predict":"5"}""")]
    [InlineData("/completion", """{"prompt":"a","n_probs":21}""")]
    [InlineData("/completion", """{"prompt":"a","n_cmpl":0}""")]
    [InlineData("/completion", """{"prompt":["a","a"],"n_cmpl":200}""")]
    [InlineData("/completion", """{"prompt":"a","return_tokens":1}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[5]}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[[5]]}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[[5,1,1]]}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[[512,1]]}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[[5,true]]}""")]
    [InlineData("/completion", """{"prompt":"a","logit_bias":[["\ud800",1]]}""")]
    [InlineData("/v1/chat/completions", """{"prompt":"a"}""")]
    [InlineData("/v1/chat/completions", """{"messages":"a"}""")]
    [InlineData("/v1/chat/completions", """{"messages":[]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"system","content":"a"}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"king","content":"a"}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"tool","content":"a"}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user"}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"},{"role":"system","content":"a"}]}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"top_logprobs":2}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"max_tokens":0}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema"}}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"mirostat":2}""")]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}""")]
    [InlineData("/v1/embeddings", """{"input":{}}""")]
    [InlineData("/v1/embeddings", """{"input":"a","encoding_format":"hex"}""")]
    [InlineData("/v1/embeddings", """{"input":"a","dimensions":3}""")]
    [InlineData("/tokenize", """{"text":"a"}""")]
    [InlineData("/detokenize", """{"tokens":[512]}""")]
    [InlineData("/apply-template", """{"messages":[1]}""")]
    public async Task Bodies_that_are_wrong_get_400_and_a_line_that_says_what(string path, string body)
    {
        (int status, string answer) = await _server.PostBytesAsync(path, Encoding.UTF8.GetBytes(body));
        Assert.Equal(400, status);
        JsonNode error = JsonNode.Parse(answer)!["error"]!;
        Assert.Equal("invalid_request_error", (string)error["type"]!);
        Assert.Matches("^[^\n]{5,300}$", (string)error["message"]!);
    }

    [Fact]
    public async Task A_client_that_leaves_while_it_sends_its_body_is_no_failure_of_the_server()
    {
        Uri url = new(_server.Url);
        using Socket client = new(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(url.Host, url.Port);
        client.Send(Encoding.ASCII.GetBytes(
            $"POST /tokenize HTTP/1.1\r\nHost: {url.Authority}\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"));
        byte[] answer = new byte[100];
        Assert.StartsWith("HTTP/1.1 100 ", Encoding.ASCII.GetString(answer, 0, client.Receive(answer)), StringComparison.Ordinal);
        client.Close(0); // a reset, while the body is being read
        await RunningServer.UntilAsync(() => _server.Log.Contains("path=/tokenize status=499", StringComparison.Ordinal));
        Assert.DoesNotContain("internal_error", _server.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[#]")]
    [InlineData("[[#]]")]
    public void Millions_of_tokens_are_refused_before_they_are_read(string value)
    {
        const int Count = 200_000;
        ServedModel model = CountingService.Model(new Config(2, 2, 1, 1, 1, 512, 64));
        string many = value.Replace("#", string.Join(',', Enumerable.Repeat(7, Count)), StringComparison.Ordinal);
        Fields fields = Fields.Parse(Encoding.UTF8.GetBytes($$"""{"prompt":{{many}}}"""), 32);
        Assert.InRange(Llama2.Tests.Fast.Allocations.Of(Refused), 0, Count);

        void Refused()
        {
            ApiException refused = Assert.Throws<ApiException>(() => TextRequest.Prompts(fields, "prompt", model));
            Assert.Equal($"the prompt has {Count} tokens, and the context of this model holds 64", refused.Message);
        }
    }

    [Theory]
    [InlineData("/api/generate", """{"prompt":"a"}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":1}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","options":[]}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","options":{"num_predict":"many"}}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"Once upon a time","options":{"num_ctx":2}}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","options":{"typical_p":0.7}}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","format":"json"}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","format":{"type":"object"}}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","suffix":"b"}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","images":["AA=="]}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","context":[1]}""")]
    [InlineData("/api/generate", """{"model":"tales659K","prompt":"a","raw":true,"system":"b"}""")]
    [InlineData("/api/chat", """{"model":"tales659K","messages":[{"role":"user","content":"a","images":["AA=="]}]}""")]
    [InlineData("/api/chat", """{"model":"tales659K","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}""")]
    [InlineData("/api/chat", """{"model":"tales659K","messages":[{"role":"user","content":"a"}],"think":true}""")]
    [InlineData("/api/embed", """{"model":"tales659K"}""")]
    [InlineData("/api/show", "[]")]
    public async Task Ollama_s_clients_get_its_shape_of_error(string path, string body)
    {
        (int status, string answer) = await _server.PostBytesAsync(path, Encoding.UTF8.GetBytes(body));
        Assert.Equal(400, status);
        Assert.Matches("^\\{\"error\":\"[^\n]{5,300}\"\\}$", answer);
    }

    [Theory]
    [InlineData("/jobs", "{")]
    [InlineData("/jobs", """{"id":"1","prompt":"a"}""")]
    [InlineData("/jobs", """{"id":"5fb8ebd0-e0c9-4759-8f7d-35590f6c9fcb"}""")]
    [InlineData("/jobs", """{"id":"5fb8ebd0-e0c9-4759-8f7d-35590f6c9fcb","prompt":"a","temperature":"hot"}""")]
    [InlineData("/rllama/v1/inference", "{")]
    [InlineData("/rllama/v1/inference", """{"temperature":1}""")]
    [InlineData("/rllama/v1/inference", """{"prompt":"a","top_k":0}""")]
    [InlineData("/rllama/v1/inference", """{"prompt":"a","temperature":-1}""")]
    [InlineData("/rllama/v1/inference", """{"prompt":"a","max_new_tokens":-1}""")]
    [InlineData("/rllama/v1/inference", """{"prompt":"Once upon a time","max_seq_len":2}""")]
    public async Task Clients_of_llama_go_and_RLLaMA_get_a_line_of_text(string path, string body)
    {
        using HttpResponseMessage response = await _server.Client.PostAsync(path, new StringContent(body));
        Assert.Equal((400, "text/plain"), ((int)response.StatusCode, response.Content.Headers.ContentType!.MediaType));
        Assert.Matches("^[^\n{]{5,300}$", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Bodies_too_deep_too_large_or_not_UTF_8_are_refused_on_every_endpoint()
    {
        string[] paths = ["/completion", "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize",
            "/apply-template", "/api/generate", "/api/chat", "/api/show", "/api/embed", "/api/embeddings", "/jobs", "/rllama/v1/inference"];
        foreach (string path in paths)
        {
            string deep = new('[', 100_000);
            Assert.Equal(400, (await _server.PostBytesAsync(path, Encoding.UTF8.GetBytes($"{{\"prompt\":{deep}"))).Status);
            Assert.Equal(400, (await _server.PostBytesAsync(path, [.. "{\"prompt\":\""u8, 0xff, 0xfe, .. "\"}"u8])).Status);
            Assert.Equal(413, (await _server.PostBytesAsync(path, new byte[9 << 20])).Status);
        }
        Assert.Equal("""{"status":"ok"}""", await _server.Client.GetStringAsync("/health"));
    }

    [Fact]
    public async Task Whoever_runs_the_server_says_how_large_a_body_may_be()
    {
        await using RunningServer server = await RunningServer.StartAsync("--max-body", "100");
        byte[] body = Encoding.UTF8.GetBytes($$"""{"content":"{{new string('a', 86)}}"}""");
        Assert.Equal(100, body.Length);
        Assert.Equal(200, (await server.PostBytesAsync("/tokenize", body)).Status);
        (int status, string answer) = await server.PostBytesAsync("/tokenize", [.. body, (byte)' ']);
        Assert.Equal(413, status);
        Assert.Contains("the body is larger than 100 bytes", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_prompt_longer_than_the_context_is_never_cut()
    {
        object[] bodies = [new { prompt = Enumerable.Repeat(300, 513) }, new { prompt = new string('x', 2_000_000) },
            new { prompt = string.Concat(Enumerable.Repeat("Once upon a time ", 100)) }];
        foreach (object body in bodies)
        {
            (int status, JsonNode answer) = await _server.PostAsync("/v1/completions", body);
            Assert.Equal((400, "context_length_exceeded"), (status, (string)answer["error"]!["code"]!));
            Assert.Matches(@"has (at least )?\d+ tokens, and .* holds 512$", (string)answer["error"]!["message"]!);
        }
        object fits = new { prompt = Enumerable.Repeat(300, 512), max_tokens = 9 };
        (int full, JsonNode last) = await _server.PostAsync("/v1/completions", fits);
        Assert.Equal((200, "length"), (full, (string)last["choices"]![0]!["finish_reason"]!));
    }

    [Fact]
    public async Task Paths_and_methods_that_do_not_exist_are_told_apart()
    {
        Assert.Equal(404, (await _server.PostBytesAsync("/v1/no-such-thing", [])).Status);
        using HttpResponseMessage response = await _server.Client.GetAsync("/v1/chat/completions");
        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(["POST"], response.Content.Headers.Allow);
        Assert.Equal(404, (int)(await _server.Client.GetAsync("/v1/models/other")).StatusCode);
        using HttpResponseMessage either = await _server.Client.PutAsync("/jobs/1", null);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, either.StatusCode);
        Assert.Equal(["GET", "DELETE"], either.Content.Headers.Allow);
        Assert.Equal((404, """{"error":"there is nothing at this path"}"""), await _server.PostBytesAsync("/api/pull", []));
    }

    [Fact]
    public async Task Bytes_that_are_no_HTTP_do_not_harm()
    {
        byte[][] all =
        [
            [0, 1, 2, 255],
            [.. "GET / HTTP/9.9\r\n\r\n"u8],
            [.. "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"u8],
        ];
        foreach (byte[] bytes in all)
        {
            using TcpClient client = new();
            Uri url = new(_server.Url);
            await client.ConnectAsync(url.Host, url.Port);
            await client.GetStream().WriteAsync(bytes);
        }
        Assert.Equal("""{"status":"ok"}""", await _server.Client.GetStringAsync("/health"));
    }

    [Theory]
    [InlineData("Origin", "https://evil.example", 403)]
    [InlineData("Origin", "null", 403)]
    [InlineData("Host", "evil.example", 403)]
    [InlineData("Host", "localhost:1", 200)]
    public async Task Foreign_pages_are_refused_by_default(string header, string value, int status)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/health");
        request.Headers.TryAddWithoutValidation(header, value);
        using HttpResponseMessage response = await _server.Client.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.False(response.Headers.Contains("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task Keys_and_origins_that_were_named_are_let_in_and_no_others()
    {
        await using RunningServer server = await RunningServer.StartAsync(
            "--api-key", "first", "--api-key", "second", "--cors-origin", "https://page.example");
        Assert.Equal(200, await Get("/health", null));
        Assert.Equal(401, await Get("/v1/models", null));
        Assert.Equal(401, await Get("/no-such-thing", null));
        Assert.Equal(401, await Get("/v1/models", "wrong"));
        Assert.Equal(401, await Get("/v1/models", "firs"));
        Assert.Equal(401, await Get("/v1/models", ""));
        Assert.Equal(200, await Get("/v1/models", "first"));
        Assert.Equal(200, await Get("/v1/models", "second"));
        using HttpRequestMessage other = new(HttpMethod.Get, "/v1/models") { Headers = { { "X-Api-Key", "second" } } };
        Assert.Equal(HttpStatusCode.OK, (await server.Client.SendAsync(other)).StatusCode);

        using HttpRequestMessage preflight = new(HttpMethod.Options, "/v1/models") { Headers = { { "Origin", "https://page.example" } } };
        using HttpResponseMessage answer = await server.Client.SendAsync(preflight);
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Equal(["https://page.example"], answer.Headers.GetValues("Access-Control-Allow-Origin"));
        using HttpRequestMessage foreign = new(HttpMethod.Options, "/v1/models") { Headers = { { "Origin", "https://other.example" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await server.Client.SendAsync(foreign)).StatusCode);

        // who has one key learns nothing of what was said with another
        Assert.Equal(0, await Cached("first"));
        Assert.True(await Cached("first") > 0);
        Assert.Equal(0, await Cached("second"));

        async Task<int> Get(string path, string? key)
        {
            using HttpRequestMessage request = new(HttpMethod.Get, path);
            if (key is not null)
                request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + key);
            using HttpResponseMessage response = await server.Client.SendAsync(request);
            return (int)response.StatusCode;
        }

        async Task<int> Cached(string key)
        {
            server.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
            (_, JsonNode body) = await server.PostAsync("/v1/completions", new { prompt = "Once upon a time", max_tokens = 2 });
            server.Client.DefaultRequestHeaders.Authorization = null;
            return (int)body["usage"]!["prompt_tokens_details"]!["cached_tokens"]!;
        }
    }

    [Theory]
    [InlineData("--port: expected 0 to 65535, found 70000", "--port", "70000")]
    [InlineData("--host 192.0.2.1, --port 0: Cannot assign requested address", "--host", "192.0.2.1", "--port", "0")] // for documents
    [InlineData("--host fe80::1, --port 0: Invalid argument", "--host", "fe80::1", "--port", "0")] // of a link that is not said
    [InlineData("--pods: expected 1 to 4096, found 0", "--pods", "0")]
    [InlineData("--max-body: expected 1 to 1073741824, found 0", "--max-body", "0")]
    [InlineData("--max-request-line: expected 1 to 1048576, found 1048577", "--max-request-line", "1048577")]
    [InlineData("--max-headers: expected 1 to 1000000, found 0", "--max-headers", "0")]
    [InlineData("--max-header-bytes: expected 1 to 1048576, found 0", "--max-header-bytes", "0")]
    [InlineData("--max-depth: expected 1 to 1000, found 1001", "--max-depth", "1001")]
    [InlineData("--max-stops: expected 0 to 2147483647, found -1", "--max-stops", "-1")]
    [InlineData("--max-stop-length: expected 1 to 2147483647, found 0", "--max-stop-length", "0")]
    [InlineData("--max-logprobs: expected 0 to 2147483647, found -1", "--max-logprobs", "-1")]
    [InlineData("--max-logits: expected 0 to 2147483647, found -1", "--max-logits", "-1")]
    [InlineData("--max-connections: expected 0 to 2147483647, found -1", "--max-connections", "-1")]
    [InlineData("--header-timeout: expected 1 to 1000000, found 0", "--header-timeout", "0")]
    [InlineData("--keep-alive: expected 1 to 1000000, found 0", "--keep-alive", "0")]
    [InlineData("--min-rate: expected 0 to 2147483647, found -1", "--min-rate", "-1")]
    [InlineData("--sse-ping-interval: expected 1 to 1000000, found 0", "--sse-ping-interval", "0")]
    [InlineData("--max-failures: expected 1 to 2147483647, found 0", "--max-failures", "0")]
    [InlineData("--job-characters: expected 0 to 2147483647, found -1", "--job-characters", "-1")]
    [InlineData("--cache-bytes: expected 0 or more, found -1", "--cache-bytes", "-1")]
    [InlineData("--api-key: expected a value, found an empty one", "--api-key", "")]
    public void Options_out_of_their_range_are_bad_usage(string message, params string[] args)
    {
        BuiltProgram program = BuiltProgram.Run(["serve", .. args]);
        Assert.Equal((1, $"llama2: {message}\n"), (program.ExitCode, program.Err));
    }

    [Fact]
    public void A_model_that_cannot_be_opened_ends_the_server_with_its_error()
    {
        using TestFolder folder = new();
        File.WriteAllText(folder.File("bad.bin"), "nothing");
        BuiltProgram program = BuiltProgram.Run("serve", "--port", "0", folder.File("bad.bin"));
        Assert.Equal(2, program.ExitCode);
        Assert.Contains("bad.bin: ", program.Err, StringComparison.Ordinal);
    }
}
