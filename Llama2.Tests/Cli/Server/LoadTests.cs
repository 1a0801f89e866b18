using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>Clients that leave, too many clients, and the end of the server, with answers that go on for long.</summary>
public sealed class LoadTests : IDisposable
{
    private readonly TestFolder _folder = new();
    private readonly string _model;

    public LoadTests() => _model = EndlessModel.Write(_folder.Path);

    public void Dispose() => _folder.Dispose();

    private static object Endless(int seed = 1) => new { prompt = "Once", seed, max_tokens = -1, ignore_eos = true, stream = true };

    private static async Task<HttpResponseMessage> BeginAsync(RunningServer server, object body, CancellationToken cancellation = default)
    {
        HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions") { Content = JsonContent.Create(body) };
        return await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    [Fact]
    public async Task Clients_that_leave_while_they_wait_read_or_write_free_their_places_and_disturb_nobody()
    {
        object other = new { prompt = "A dog", seed = 3, max_tokens = 1500, ignore_eos = true };
        await using RunningServer server = await RunningServer.StartAsync(_model, "--pods", "2", "--chunk", "1", "--cache-bytes", "0");
        string expected = await server.CompleteAsync(other);
        Task<string> beside = server.CompleteAsync(other);

        using (HttpResponseMessage decoding = await BeginAsync(server, Endless()))
            await RunningServer.UntilAsync(async () => (await server.SlotsAsync()).Any(slot => (string)slot!["state"]! == "decode"));
        await RunningServer.UntilAsync(() => server.Log.Contains("status=499", StringComparison.Ordinal));

        using (CancellationTokenSource leave = new())
        {
            object prompt = new { prompt = Enumerable.Repeat(300, EndlessModel.Context - 10) };
            Task<HttpResponseMessage> reading = BeginAsync(server, prompt, leave.Token);
            await RunningServer.UntilAsync(async () => (await server.SlotsAsync()).Any(slot => (int)slot!["n_prompt"]! > 10_000));
            Task<HttpResponseMessage> third = BeginAsync(server, Endless()), waiting = BeginAsync(server, Endless(), leave.Token);
            await leave.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
            (await third).Dispose();
        }
        Assert.Equal(expected, await beside);
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        await RunningServer.UntilAsync(() => server.Log.Split("end=disconnect").Length >= 4);
        Assert.DoesNotContain($"prompt={EndlessModel.Context - 10} cached=0 generated=10 ", server.Log, StringComparison.Ordinal);
        Assert.Equal(0, await server.MetricAsync("llamacpp:requests_deferred"));
        Assert.Equal(expected, await server.CompleteAsync(other));
    }

    [Fact]
    public async Task A_full_queue_says_when_to_come_again_and_a_free_place_is_given_to_the_next()
    {
        await using RunningServer server = await RunningServer.StartAsync(_model, "--pods", "1", "--max-queue", "1");
        using HttpResponseMessage running = await BeginAsync(server, Endless());
        Task<string> waiting = server.CompleteAsync(new { prompt = "A dog", max_tokens = 2 });
        await RunningServer.UntilAsync(async () => await server.MetricAsync("llamacpp:requests_deferred") == 1);
        using HttpResponseMessage refused = await BeginAsync(server, Endless());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
        Assert.Equal("queue_full", (string)JsonNode.Parse(await refused.Content.ReadAsStringAsync())!["error"]!["code"]!);
        Assert.Equal(503, (int)(await server.Client.GetAsync("/slots?fail_on_no_slot=1")).StatusCode);
        Assert.Equal(400, (await server.PostAsync("/v1/completions", new { prompt = "A", n = 3 })).Status); // never fits
        running.Dispose();
        Assert.NotEqual("", await waiting);
    }

    [Fact]
    public async Task Readers_who_do_not_read_and_connections_that_are_half_open_delay_nobody()
    {
        object body = new { prompt = "A dog", seed = 3, max_tokens = 400, ignore_eos = true, stream = true };
        await using RunningServer server = await RunningServer.StartAsync(_model, "--pods", "3");
        List<string> expected = await server.StreamAsync("/v1/completions", body);
        TcpClient[] slow = [.. Enumerable.Range(0, 2).Select(_ => Send(body))];
        TcpClient[] halfOpen = [.. Enumerable.Range(0, 30).Select(_ => Send(null))];
        for (int i = 0; i < 4; i++)
            Assert.Equal(Texts(expected), Texts(await server.StreamAsync("/v1/completions", body)));
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0); // though nobody has read
        foreach (TcpClient reader in slow)
        {
            using StreamReader stream = new(reader.GetStream());
            string[] events = (await stream.ReadToEndAsync()).Split("\r\n\r\n")[1].TrimEnd().Split("\n\n");
            Assert.Equal(Texts(expected), Texts(events.Select(line => line["data: ".Length..])));
        }
        Array.ForEach(halfOpen, client => client.Dispose());

        TcpClient Send(object? whole)
        {
            Uri url = new(server.Url);
            TcpClient client = new(url.Host, url.Port) { ReceiveBufferSize = 4096 };
            string json = whole is null ? "" : JsonSerializer.Serialize(whole);
            string head = $"POST /v1/completions HTTP/1.0\r\nHost: {url.Authority}\r\nContent-Length: {json.Length}\r\n\r\n";
            client.Client.Send(Encoding.ASCII.GetBytes(whole is null ? head[..40] : head + json));
            return client;
        }

        static string[] Texts(IEnumerable<string> events) =>
            [.. events.SkipLast(1).Select(json => (string)JsonNode.Parse(json)!["choices"]![0]!["text"]!)];
    }

    [Fact]
    public async Task A_request_that_takes_too_long_is_broken_off_and_says_so()
    {
        await using RunningServer server = await RunningServer.StartAsync(_model, "--timeout", "1", "--threads", "1");
        object body = new { prompt = "Once", max_tokens = -1, ignore_eos = true, logprobs = 20 };
        (int status, JsonNode answer) = await server.PostAsync("/v1/completions", body);
        Assert.Equal((504, "timeout"), (status, (string)answer["error"]!["code"]!));
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
    }

    [Fact]
    public async Task When_it_is_told_to_end_every_request_gets_an_answer_or_an_error()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there is no SIGTERM on Windows");
        await using RunningServer server = await RunningServer.StartAsync(_model, "--pods", "2", "--grace", "1", "--threads", "1");
        HttpResponseMessage[] streams = await Task.WhenAll(BeginAsync(server, Endless()), BeginAsync(server, Endless(2)));
        Task<(int Status, JsonNode Body)> waiting = server.PostAsync("/v1/completions", new { prompt = "A", max_tokens = 3 });
        await RunningServer.UntilAsync(async () => await server.MetricAsync("llamacpp:requests_deferred") == 1);
        server.Terminate();
        foreach (HttpResponseMessage stream in streams)
        {
            string[] events = (await stream.Content.ReadAsStringAsync()).TrimEnd().Split("\n\n");
            Assert.True(events[^1] == "data: [DONE]" || events[^1].StartsWith("""data: {"error":""", StringComparison.Ordinal), events[^1]);
            stream.Dispose();
        }
        (int status, JsonNode body) = await waiting;
        Assert.True(status == 200 || (string)body["error"]!["code"]! == "shutting_down", body.ToJsonString());
        Assert.Equal(0, await server.ExitCodeAsync());
        await Assert.ThrowsAsync<HttpRequestException>(() => server.Client.GetAsync("/health"));
    }

    [Fact]
    public async Task Told_to_end_in_a_flood_it_answers_every_request_that_it_has_taken()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "there is no SIGTERM on Windows");
        await using RunningServer server = await RunningServer.StartAsync(
            _model, "--pods", "2", "--max-queue", "3", "--chunk", "1", "--grace", "0", "--cache-bytes", "0");
        using HttpResponseMessage decoding = await BeginAsync(server, Endless());
        object prompt = new { prompt = Enumerable.Repeat(300, EndlessModel.Context - 10) }, small = new { prompt = "A", max_tokens = 3 };
        Task<(int Status, JsonNode Body)> reading = server.PostAsync("/v1/completions", prompt);
        await RunningServer.UntilAsync(async () => (await server.SlotsAsync()).Any(slot => (int)slot!["n_prompt"]! > 10_000));
        Task<(int Status, JsonNode Body)>[] waiting = [.. Enumerable.Range(0, 3).Select(_ => server.PostAsync("/v1/completions", small))];
        await RunningServer.UntilAsync(async () => await server.MetricAsync("llamacpp:requests_deferred") == 3);
        Task<int>[] flood = [.. Enumerable.Range(0, 20).Select(_ => FloodAsync())];
        await RunningServer.UntilAsync(() => server.Log.Split("end=queue_full").Length > 50);

        server.Terminate();
        foreach ((int status, JsonNode body) in await Task.WhenAll([reading, .. waiting]))
            Assert.Equal((503, "shutting_down"), (status, (string)body["error"]!["code"]!));
        string[] events = (await decoding.Content.ReadAsStringAsync()).TrimEnd().Split("\n\n");
        Assert.StartsWith("""data: {"error":""", events[^1], StringComparison.Ordinal);
        int refused = (await Task.WhenAll(flood)).Sum();
        Assert.Equal(0, await server.ExitCodeAsync());
        Assert.Equal(5 + refused, server.Log.Split("path=/v1/completions ").Length - 1); // as many answers as there are lines in its log

        // Answers, until nobody listens any more.
        async Task<int> FloodAsync()
        {
            for (int answers = 0; ; answers++)
            {
                try
                {
                    (int status, JsonNode body) = await server.PostAsync("/v1/completions", small);
                    Assert.True(status == 503 && (string)body["error"]!["code"]! is "queue_full" or "shutting_down", body.ToJsonString());
                }
                catch (HttpRequestException)
                {
                    return answers;
                }
            }
        }
    }

    [Fact]
    public async Task Before_the_model_is_loaded_it_says_so()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a named pipe");
        string pipe = _folder.File("model");
        System.Diagnostics.Process.Start("mkfifo", [pipe]).WaitForExit();
        string[] args = ["serve", "--port", "0", pipe, "-z", Repository.Weights("tok512-tales.bin")];
        using System.Diagnostics.Process process = BuiltProgram.Start(new(), args);
        string? line = await process.StandardError.ReadLineAsync();
        Assert.StartsWith("listening on ", line, StringComparison.Ordinal);
        using HttpClient client = new() { BaseAddress = new Uri(line!["listening on ".Length..]) };
        using HttpResponseMessage response = await client.GetAsync("/health");
        string body = await response.Content.ReadAsStringAsync();
        process.Kill();
        Assert.Equal(503, (int)response.StatusCode);
        Assert.Contains("Loading model", body, StringComparison.Ordinal);
    }
}
