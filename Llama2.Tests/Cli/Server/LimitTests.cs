using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>A server whose limits are others than the defaults, some of them above what the APIs know.</summary>
public sealed class LimitedServer() : SharedServer("--template", "plain", "--max-stops", "17",
    "--max-stop-length", "1001", "--max-logprobs", "21", "--max-depth", "33", "--max-logits", "1025", "--job-characters", "0");

/// <summary>Whoever runs the server says how much a request may ask for.</summary>
public sealed class LimitTests(LimitedServer limited, StoryServer story) : IClassFixture<LimitedServer>, IClassFixture<StoryServer>
{
    private const string Completions = "/v1/completions", Rllama = "/rllama/v1/inference";

    private static string Body(string field) => "{\"prompt\":\"Once\",\"max_tokens\":1," + field + "}";

    private static string Chat(int n) =>
        $$"""{"messages":[{"role":"user","content":"Once"}],"max_tokens":1,"logprobs":true,"top_logprobs":{{n}}}""";

    private static string Ollama(int n) =>
        $$"""{"model":"tales659K","prompt":"Once","options":{"num_predict":1},"logprobs":true,"top_logprobs":{{n}}}""";

    private static string Raw(int n) => $$"""{"prompt":"Once","no_token_sampling":true,"max_new_tokens":{{n}}}""";

    private static string Repeated(string text, int n) => string.Concat(Enumerable.Repeat(text, n));

    public static TheoryData<string, Func<int, string>, int, int, string, int> All => new()
    {
        // path, body, the most that this server accepts, the first that it refuses, what it says then, what others answer to both
        { Completions, n => Body($"\"stop\":[\"x\"{Repeated(",\"x\"", n - 1)}]"), 17, 18,
            "stop: expected at most 17 strings of 1 to 1001 char", 400 },
        { Completions, n => Body($"\"stop\":\"{Repeated("x", n)}\""), 1001, 1002,
            "stop: expected at most 17 strings of 1 to 1001 char", 400 },
        { Completions, n => Body($"\"logprobs\":{n}"), 21, 22, "logprobs: expected a whole number from 0 to 21", 400 },
        { Completions, n => Body($"\"other\":{Repeated("[", n)}{Repeated("]", n)}"), 32, 33,
            "the body is nested too deeply: expected at most 33 levels, its object counted", 400 },
        { "/v1/chat/completions", Chat, 21, 22, "top_logprobs: expected a whole number from 0 to 21", 400 },
        { "/api/generate", Ollama, 21, 22, "top_logprobs: expected a whole number from 0 to 21", 400 },
        { "/completion", n => Body($"\"n_probs\":{n}"), 21, 22, "n_probs: expected a whole number from 0 to 21", 400 },
        { Rllama, Raw, 2, 3, "max_new_tokens: expected 2 or less with no_token_sampling, found 3", 200 },
    };

    [Theory]
    [MemberData(nameof(All))]
    public async Task A_request_may_ask_for_as_much_as_the_server_s_option_says(
        string path, Func<int, string> body, int most, int tooMuch, string said, int byDefault)
    {
        (int status, string answer) = await AskAsync(limited.Server, most);
        Assert.True(status == 200, answer);
        (status, answer) = await AskAsync(limited.Server, tooMuch);
        Assert.Equal(400, status);
        Assert.Contains(said, answer, StringComparison.Ordinal);
        Assert.Equal((byDefault, byDefault), ((await AskAsync(story.Server, most)).Status, (await AskAsync(story.Server, tooMuch)).Status));

        Task<(int Status, string Body)> AskAsync(RunningServer server, int n) =>
            server.PostBytesAsync(path, Encoding.UTF8.GetBytes(body(n)));
    }

    [Fact]
    public async Task A_limit_of_0_is_for_none()
    {
        await using RunningServer server = await RunningServer.StartAsync(
            "--max-stops", "0", "--max-logprobs", "0", "--max-logits", "0", "--max-depth", "1");
        Assert.Equal(200, await StatusAsync(Completions, Body("\"logprobs\":0")));
        Assert.Equal(400, await StatusAsync(Completions, Body("\"logprobs\":1")));
        Assert.Equal(200, await StatusAsync(Completions, Body("\"stop\":null")));
        Assert.Equal(400, await StatusAsync(Completions, Body("\"stop\":\"x\"")));
        Assert.Equal(200, await StatusAsync(Rllama, "{\"prompt\":\"Once\"}"));
        Assert.Equal(400, await StatusAsync(Rllama, Raw(1)));
        (int status, string answer) = await server.PostBytesAsync(Completions, Encoding.UTF8.GetBytes(Body("\"stop\":[]")));
        Assert.Equal(400, status);
        Assert.Contains("\"the body is nested too deeply: expected at most 1 levels, its object counted\"", answer,
            StringComparison.Ordinal);

        async Task<int> StatusAsync(string path, string body) => (await server.PostBytesAsync(path, Encoding.UTF8.GetBytes(body))).Status;
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
