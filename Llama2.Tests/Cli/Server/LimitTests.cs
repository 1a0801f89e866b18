using System.Text;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>A server whose limits are others than the defaults, some of them above what the APIs know.</summary>
public sealed class LimitedServer : IAsyncLifetime
{
    public RunningServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await RunningServer.StartAsync("--template", "plain", "--max-stops", "17",
        "--max-stop-length", "1001", "--max-logprobs", "21", "--max-depth", "33", "--max-logits", $"{2 * 512 + 1}", "--job-characters", "0");

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}

/// <summary>Whoever runs the server says how much a request may ask for.</summary>
public sealed class LimitTests(LimitedServer limited, StoryServer story) : IClassFixture<LimitedServer>, IClassFixture<StoryServer>
{
    private const string Chat = """{"messages":[{"role":"user","content":"Once"}],"max_tokens":1,"logprobs":true,"top_logprobs":#}""";
    private const string Ollama = """{"model":"tales659K","prompt":"Once","options":{"num_predict":1},"logprobs":true,"top_logprobs":#}""";
    private const string Raw = """{"prompt":"Once","no_token_sampling":true,"max_new_tokens":#}""";

    public static TheoryData<string, string, int, int, string> All => new()
    {
        // path, body, a value that only this server accepts or refuses, the first that it refuses, and what it says then
        { "/v1/completions", """{"prompt":"Once","max_tokens":1,"stop":[#]}""", 17, 18, "stop: expected at most 17 strings of 1 to 1001 char" },
        { "/v1/completions", """{"prompt":"Once","max_tokens":1,"stop":"#"}""", 1001, 1002, "stop: expected at most 17 strings of 1 to 1001 char" },
        { "/v1/completions", """{"prompt":"Once","max_tokens":1,"logprobs":#}""", 21, 22, "logprobs: expected a whole number from 0 to 21" },
        { "/v1/chat/completions", Chat, 21, 22, "top_logprobs: expected a whole number from 0 to 21" },
        { "/api/generate", Ollama, 21, 22, "top_logprobs: expected a whole number from 0 to 21" },
        { "/v1/completions", """{"prompt":"Once","max_tokens":1,"other":#}""", 32, 33, "the body is no JSON: The maximum configured depth of 33 " },
        { "/rllama/v1/inference", Raw, 2, 3, "max_new_tokens: expected 2 or less with no_token_sampling, found 3" },
    };

    [Theory]
    [MemberData(nameof(All))]
    public async Task A_request_may_ask_for_as_much_as_the_server_s_option_says(string path, string body, int most, int tooMuch, string said)
    {
        byte[] Body(int n) => Encoding.UTF8.GetBytes(body.Replace("[#]", $"[{string.Join(',', Enumerable.Repeat("\"x\"", n))}]")
            .Replace("\"#\"", $"\"{new string('x', n)}\"").Replace("\"other\":#", $"\"other\":{new string('[', n)}{new string(']', n)}")
            .Replace("#", $"{n}"));

        (int status, string answer) = await limited.Server.PostBytesAsync(path, Body(most));
        Assert.True(status == 200, answer);
        (status, answer) = await limited.Server.PostBytesAsync(path, Body(tooMuch));
        Assert.Equal(400, status);
        Assert.Contains(said, answer, StringComparison.Ordinal);
        (int otherwise, _) = await story.Server.PostBytesAsync(path, Body(path.StartsWith("/rllama", StringComparison.Ordinal) ? tooMuch : most));
        Assert.Equal(path.StartsWith("/rllama", StringComparison.Ordinal) ? 200 : 400, otherwise); // with the defaults
    }

    [Fact]
    public async Task Twenty_one_logarithms_come_where_the_server_allows_them()
    {
        (_, JsonNode answer) = await limited.Server.PostAsync("/v1/chat/completions", new
        {
            messages = new[] { new { role = "user", content = "Once" } },
            max_tokens = 1,
            logprobs = true,
            top_logprobs = 21,
        });
        Assert.Equal(21, answer["choices"]![0]!["logprobs"]!["content"]![0]!["top_logprobs"]!.AsArray().Count);
    }

    [Fact]
    public async Task Jobs_that_have_ended_are_kept_as_long_as_their_texts_fit()
    {
        await UntilAsync(limited.Server, answer => answer == "Request ID was not found!");
        await UntilAsync(story.Server, answer => answer.Contains("\"status\":\"finished\"", StringComparison.Ordinal));

        // waits until that is the answer to a question after a job
        static async Task UntilAsync(RunningServer server, Func<string, bool> isIt)
        {
            Guid id = Guid.NewGuid();
            Assert.Equal(200, (await server.PostAsync("/jobs", new { id, prompt = "Once", max_tokens = 1 })).Status);
            await RunningServer.UntilAsync(async () =>
            {
                using HttpResponseMessage response = await server.Client.GetAsync($"/jobs/{id}");
                return isIt(await response.Content.ReadAsStringAsync());
            });
        }
    }
}
