using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Llama2.Tests.Bench;

namespace Llama2.Tests.Cli.Server;

/// <summary>A server whose limits are others than the defaults, some of them above what the APIs know.</summary>
public sealed class LimitedServer : IAsyncLifetime
{
    public RunningServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await RunningServer.StartAsync("--template", "plain", "--max-stops", "17",
        "--max-stop-length", "1001", "--max-logprobs", "21", "--max-depth", "33", "--max-logits", "1025", "--job-characters", "0");

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}

/// <summary>Whoever runs the server says how much a request may ask for.</summary>
public sealed class LimitTests(LimitedServer limited, StoryServer story) : IClassFixture<LimitedServer>, IClassFixture<StoryServer>
{
    private const string Completions = "/v1/completions", Rllama = "/rllama/v1/inference";
    private const string Chat = """{"messages":[{"role":"user","content":"Once"}],"max_tokens":1,"logprobs":true,"top_logprobs":#}""";
    private const string Ollama = """{"model":"tales659K","prompt":"Once","options":{"num_predict":1},"logprobs":true,"top_logprobs":#}""";
    private const string Raw = """{"prompt":"Once","no_token_sampling":true,"max_new_tokens":#}""";

    private static string Body(string field) => "{\"prompt\":\"Once\",\"max_tokens\":1," + field + "}";

    public static TheoryData<string, string, int, int, string> All => new()
    {
        // path, body, the most that this server accepts, the first that it refuses, and what it says then
        { Completions, Body("\"stop\":[#]"), 17, 18, "stop: expected at most 17 strings of 1 to 1001 char" },
        { Completions, Body("\"stop\":\"#\""), 1001, 1002, "stop: expected at most 17 strings of 1 to 1001 char" },
        { Completions, Body("\"logprobs\":#"), 21, 22, "logprobs: expected a whole number from 0 to 21" },
        { Completions, Body("\"other\":#"), 32, 33, "the body is no JSON: The maximum configured depth of 33 " },
        { "/v1/chat/completions", Chat, 21, 22, "top_logprobs: expected a whole number from 0 to 21" },
        { "/api/generate", Ollama, 21, 22, "top_logprobs: expected a whole number from 0 to 21" },
        { Rllama, Raw, 2, 3, "max_new_tokens: expected 2 or less with no_token_sampling, found 3" },
    };

    [Theory]
    [MemberData(nameof(All))]
    public async Task A_request_may_ask_for_as_much_as_the_server_s_option_says(
        string path, string body, int most, int tooMuch, string said)
    {
        (int status, string answer) = await limited.Server.PostBytesAsync(path, Of(most));
        Assert.True(status == 200, answer);
        (status, answer) = await limited.Server.PostBytesAsync(path, Of(tooMuch));
        Assert.Equal(400, status);
        Assert.Contains(said, answer, StringComparison.Ordinal);
        bool isLess = path == Rllama; // than the default, where all others are more
        Assert.Equal(isLess ? 200 : 400, (await story.Server.PostBytesAsync(path, Of(isLess ? tooMuch : most))).Status);

        byte[] Of(int n) => Encoding.UTF8.GetBytes(body
            .Replace("[#]", $"[{string.Join(',', Enumerable.Repeat("\"x\"", n))}]", StringComparison.Ordinal)
            .Replace("\"#\"", $"\"{new string('x', n)}\"", StringComparison.Ordinal)
            .Replace("r\":#", $"r\":{new string('[', n)}{new string(']', n)}", StringComparison.Ordinal)
            .Replace("#", $"{n}", StringComparison.Ordinal));
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
    public async Task Steps_that_fail_one_after_another_end_the_service_after_as_many_as_the_option_says()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "a file that is mapped cannot be cut on Windows");
        using TestFolder folder = new();
        using (FileStream file = File.Create(folder.File("model.bin")))
            Llama2.Cli.Bench.Shape.Parse("256,256,4,8,8,512,64").Write(file, TestContext.Current.CancellationToken);
        string[] args = [folder.File("model.bin"), "-z", Repository.Weights("tok512-tales.bin"), "--speculate", "off"];
        await using RunningServer once = await RunningServer.StartAsync([.. args, "--max-failures", "1"]);
        await using RunningServer otherwise = await RunningServer.StartAsync(args);
        Process.Start("truncate", ["-s", "-4", folder.File("model.bin")]).WaitForExit(); // a forward pass fails from now on
        Assert.Equal((500, 503, 503), (await StatusAsync(once), await StatusAsync(once), await StatusAsync(once)));
        Assert.Equal((500, 500, 500), (await StatusAsync(otherwise), await StatusAsync(otherwise), await StatusAsync(otherwise)));
        Assert.Equal(503, await StatusAsync(otherwise));

        static async Task<int> StatusAsync(RunningServer server) => (await server.PostAsync(Completions, new { prompt = "A" })).Status;
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
