using System.Text;
using System.Text.Json.Nodes;
using Llama2.Cli.Server;
using Llama2.Fast.Engine;
using Llama2.Tests.Fast;
using Microsoft.AspNetCore.Http;
using Job = Llama2.Cli.Server.Job;

namespace Llama2.Tests.Cli.Server;

/// <summary>llama.go's jobs: a prompt that is left, a status, a text that is fetched.</summary>
public sealed class JobTests
{
    private static async Task<JsonNode> GetAsync(RunningServer server, string path) =>
        JsonNode.Parse(await server.Client.GetStringAsync(path))!;

    private static async Task<string> StatusAsync(RunningServer server, Guid id) =>
        (string)(await GetAsync(server, $"/jobs/status/{id}"))["status"]!;

    private static async Task<JsonNode> EndAsync(RunningServer server, Guid id)
    {
        await RunningServer.UntilAsync(async () => await StatusAsync(server, id) is not ("queued" or "processing"));
        return await GetAsync(server, $"/jobs/{id}");
    }

    private static async Task<JsonNode> StopAsync(RunningServer server, Guid id)
    {
        using HttpResponseMessage stopped = await server.Client.DeleteAsync($"/jobs/{id}");
        Assert.Equal("""{"status":"stopped"}""", await stopped.Content.ReadAsStringAsync());
        return await EndAsync(server, id);
    }

    private static async Task<Guid> AddAsync(RunningServer server, object? more = null)
    {
        Guid id = Guid.NewGuid();
        JsonObject body = (JsonObject)System.Text.Json.JsonSerializer.SerializeToNode(more ?? new { })!;
        (body["id"], body["prompt"]) = ($"{id}", "Once upon a time");
        (int status, JsonNode answer) = await server.PostAsync("/jobs/", body);
        Assert.Equal((200, "queued", $"{id}"), (status, (string)answer["status"]!, (string)answer["id"]!));
        return id;
    }

    [Fact]
    public async Task The_text_of_a_job_is_generate_s_with_llama_go_s_sampling_and_ends_at_an_end_token()
    {
        await using RunningServer server = await RunningServer.StartAsync();
        string[] sampling = ["-t", "0.5", "-p", "0.95", "--top-k", "40", "--repeat-penalty", "1.1", "--repeat-last-n", "512"];
        string expected = BuiltProgram.Run(["-i", "Once upon a time", "-s", "5", "-n", "512", .. sampling, "--silent"]).Out;
        JsonNode job = await EndAsync(server, await AddAsync(server, new { seed = 5 }));
        Assert.Equal("finished", (string)job["status"]!);
        Assert.Equal(expected.Trim('\n'), $"Once upon a time{(expected["Once upon a time".Length] == ' ' ? " " : "")}{job["output"]}");
        Assert.True(expected.Length < 1500, "the model has not ended it");
        Assert.Equal(("Once upon a time", "tales659K"), ((string)job["prompt"]!, (string)job["model"]!));
        long created = (long)job["created"]!, started = (long)job["started"]!, finished = (long)job["finished"]!;
        Assert.True(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 300 < created && created <= started && started <= finished, $"{job}");
        await RunningServer.UntilAsync(() => server.Log.Contains("path=/jobs status=finished", StringComparison.Ordinal));
        Assert.Matches(@"request id=[0-9a-f-]{36} path=/jobs status=finished prompt=\d+ cached=0 generated=\d+ .*end=model", server.Log);
    }

    [Fact]
    public async Task A_server_that_ends_tells_of_the_jobs_that_it_has_and_takes_no_more()
    {
        using Gate gate = new();
        using GenerationEngine engine = new(new CountingModel(_ => gate.Pass()));
        Service service = CountingService.Start(engine);
        Guid id = Guid.NewGuid();
        Assert.Equal(200, (await AskAsync("POST", "/jobs", $$"""{"id":"{{id}}","prompt":"a"}""")).Status);
        gate.WaitUntilReached();
        service.Stop();
        (int status, string answer) = await AskAsync("POST", "/jobs", $$"""{"id":"{{Guid.NewGuid()}}","prompt":"a"}""");
        Assert.Equal((503, "the server is ending"), (status, answer));
        (status, answer) = await AskAsync("GET", "/health");
        Assert.Equal((503, "shutting_down"), (status, (string)JsonNode.Parse(answer)!["error"]!["code"]!));
        Assert.Equal((200, """{"status":"processing"}"""), await AskAsync("GET", $"/jobs/status/{id}"));
        Assert.Equal((200, """{"status":"stopped"}"""), await AskAsync("DELETE", $"/jobs/{id}"));
        gate.Open();

        async Task<(int Status, string Body)> AskAsync(string method, string path, string body = "")
        {
            using MemoryStream written = new();
            DefaultHttpContext http = new() { Request = { Method = method, Path = path }, Response = { Body = written } };
            http.Request.Body = new MemoryStream(Encoding.UTF8.GetBytes(body));
            await new Routes(service).AnswerAsync(http);
            return (http.Response.StatusCode, Encoding.UTF8.GetString(written.ToArray()));
        }
    }

    [Fact]
    public async Task Jobs_begin_in_the_order_in_which_they_came()
    {
        using TestFolder folder = new();
        await using RunningServer server = await RunningServer.StartAsync(EndlessModel.Write(folder.Path), "--pods", "1", "--threads", "1");
        List<Guid> ids = [];
        for (int i = 0; i < 6; i++)
            ids.Add(await AddAsync(server, new { max_tokens = 200, ignore_eos = true, seed = 1 }));
        while (true)
        {
            string[] statuses = new string[ids.Count];
            for (int i = ids.Count - 1; i >= 0; i--) // a job that has begun shows that all before it have ended
                statuses[i] = await StatusAsync(server, ids[i]);
            int begun = Array.FindLastIndex(statuses, status => status != "queued");
            Assert.All(statuses.Take(begun), status => Assert.Equal("finished", status));
            if (statuses.All(status => status == "finished"))
                break;
        }
    }

    [Fact]
    public async Task A_job_can_be_stopped_where_it_waits_and_where_it_runs_and_one_that_takes_too_long_has_failed()
    {
        using TestFolder folder = new();
        string model = EndlessModel.Write(folder.Path);
        object endless = new { max_tokens = -1, ignore_eos = true };
        await using (RunningServer server = await RunningServer.StartAsync(model, "--pods", "1"))
        {
            Guid running = await AddAsync(server, endless), waiting = await AddAsync(server, endless);
            await RunningServer.UntilAsync(async () => (string)(await GetAsync(server, $"/jobs/{running}"))["output"]! != "");
            Assert.Equal("processing", await StatusAsync(server, running));
            JsonNode second = await StopAsync(server, waiting), first = await StopAsync(server, running);
            Assert.Equal(("stopped", "", 0), ((string)second["status"]!, (string)second["output"]!, (int)second["started"]!));
            Assert.Equal(("stopped", true), ((string)first["status"]!, (string)first["output"]! != "" && (int)first["started"]! > 0));
            await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        }
        await using (RunningServer server = await RunningServer.StartAsync(model, "--timeout", "1"))
        {
            JsonNode failed = await EndAsync(server, await AddAsync(server, endless));
            Assert.Equal(("failed", "not done within 1 s"), ((string)failed["status"]!, (string)failed["error"]!));
        }
    }

    [Fact]
    public async Task Errors_are_llama_go_s_and_who_has_another_key_sees_no_job()
    {
        await using RunningServer server = await RunningServer.StartAsync("--api-key", "first", "--api-key", "second", "--max-queue", "0");
        server.Client.DefaultRequestHeaders.Authorization = new("Bearer", "first");
        Guid id = await AddAsync(server);
        Assert.Equal((400, "Duplicated ID for the same request?"),
            await server.PostBytesAsync("/jobs", System.Text.Encoding.UTF8.GetBytes($$"""{"id":"{{id:N}}","prompt":"a"}""")));
        Assert.Equal((400, "Wrong UUID4 id for request!"), await Get("/jobs/1"));
        Assert.Equal((400, "Request ID was not found!"), await Get($"/jobs/status/{Guid.NewGuid()}"));
        await EndAsync(server, id);
        using HttpResponseMessage late = await server.Client.DeleteAsync($"/jobs/{id}");
        Assert.Equal("""{"status":"finished"}""", await late.Content.ReadAsStringAsync());

        server.Client.DefaultRequestHeaders.Authorization = new("Bearer", "second");
        Assert.Equal((400, "Request ID was not found!"), await Get($"/jobs/{id}"));
        using HttpResponseMessage foreign = await server.Client.DeleteAsync($"/jobs/{id}");
        Assert.Equal(404, (int)foreign.StatusCode);
        Assert.Equal("""{"error":"there is no job of this id"}""", await foreign.Content.ReadAsStringAsync());
        server.Client.DefaultRequestHeaders.Authorization = null;
        Assert.Equal(401, (await Get($"/jobs/{id}")).Status);

        async Task<(int Status, string Body)> Get(string path)
        {
            using HttpResponseMessage response = await server.Client.GetAsync(path);
            return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public void Jobs_that_have_ended_are_forgotten_after_a_time_or_where_their_texts_are_too_many()
    {
        Clock clock = new();
        TimeSpan maxAge = TimeSpan.FromHours(1);
        JobStore jobs = new(clock, maxAge, maxCharacters: 1_000_000);
        Guid[] ids = [.. Enumerable.Range(0, 4).Select(_ => Guid.NewGuid())];
        foreach (Guid id in ids)
            Assert.NotNull(jobs.Add("me", id, () => new Job(id, "", "")));
        Assert.Null(jobs.Add("me", ids[0], () => throw new InvalidOperationException("made twice")));

        jobs.End("me", ids[0], 10);
        clock.Now += maxAge;
        jobs.End("me", ids[1], 10);
        Assert.Equal([true, true, true, true], Known());
        clock.Now += TimeSpan.FromSeconds(1);
        Assert.Equal([false, true, true, true], Known());
        jobs.End("me", ids[2], 1_000_000 - 10);
        Assert.Equal([false, true, true, true], Known());
        jobs.End("me", ids[3], 5);
        Assert.Equal([false, false, true, true], Known());
        Assert.NotNull(jobs.Add("me", ids[0], () => new Job(ids[0], "", ""))); // its id is free
        clock.Now += 2 * maxAge;
        Assert.Equal([true, false, false, false], Known()); // it has not ended

        bool[] Known() => [.. ids.Select(id => jobs.Find("me", id) is not null)];
    }

    [Fact]
    public async Task Whoever_runs_the_server_says_how_long_jobs_are_kept()
    {
        await using RunningServer server = await RunningServer.StartAsync("--job-age", "0");
        Guid id = await AddAsync(server);
        await RunningServer.UntilAsync(async () =>
        {
            using HttpResponseMessage response = await server.Client.GetAsync($"/jobs/{id}");
            return await response.Content.ReadAsStringAsync() == "Request ID was not found!";
        });
    }

    [Fact]
    public async Task A_job_that_has_ended_keeps_its_texts_and_times_and_no_cache()
    {
        using GenerationEngine engine = new(new CountingModel());
        Service service = CountingService.Start(engine);
        using Job job = new(Guid.NewGuid(), "name", "a");
        Fields fields = Fields.Parse("""{"max_tokens":3,"temperature":0}"""u8.ToArray(), 32);
        job.Submit(engine, JobEndpoints.Request(fields, "a", service.Model!, ""), TimeSpan.FromMinutes(1));
        Assert.NotNull(job.Answers);
        await job.RunAsync(service);
        Assert.Null(job.Answers);
        JobAnswer answer = job.Describe("model");
        Assert.Equal(("finished", "finished", "name", "a"), (job.Status, answer.Status, answer.Id, answer.Prompt));
        Assert.True(answer.Created <= answer.Started && answer.Started <= answer.Finished);
        Assert.Equal("finished", job.Stop());
    }

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
