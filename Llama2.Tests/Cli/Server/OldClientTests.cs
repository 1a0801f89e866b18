using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>What users of llama.go and RLLaMA type and send works as it is.</summary>
public sealed class OldClientTests
{
    [Fact]
    public async Task Llama_go_s_command_line_starts_a_server_that_takes_its_jobs()
    {
        await using RunningServer server = await RunningServer.StartAsAsync("--model", Repository.Weights("tales659K.bin"),
            "--server", "--host", "localhost", "--port", "0", "--pods", "2", "--threads", "1");
        Assert.Equal(2, (await server.SlotsAsync()).Count);

        // with the header that Postman sends, and the slash that the path has in the program
        const string Id = "5fb8ebd0-e0c9-4759-8f7d-35590f6c9fc3";
        using StringContent body = new($$"""
            {
                "id": "{{Id}}",
                "prompt": "Why Golang is so popular?"
            }
            """, Encoding.UTF8, "application/json");
        using HttpResponseMessage placed = await server.Client.PostAsync("/jobs/", body);
        JsonNode job = JsonNode.Parse(await placed.Content.ReadAsStringAsync())!;
        Assert.Equal((Id, "Why Golang is so popular?", "queued"), ((string)job["id"]!, (string)job["prompt"]!, (string)job["status"]!));
        List<string> statuses = [];
        await RunningServer.UntilAsync(async () =>
        {
            statuses.Add(await server.Client.GetStringAsync($"/jobs/status/{Id}"));
            return statuses[^1] == """{"status":"finished"}""";
        });
        Assert.All(statuses, status => Assert.Matches("""^\{"status":"(queued|processing|finished)"\}$""", status));
        JsonNode result = JsonNode.Parse(await server.Client.GetStringAsync($"/jobs/{Id}"))!;
        Assert.Equal("finished", (string)result["status"]!);
        Assert.NotEqual("", (string)result["output"]!);
        Assert.True((long)result["finished"]! >= (long)result["started"]!);
    }

    [Theory]
    [InlineData("--port: expected 0 to 65535, found 70000", "--port", "70000", "--server")]
    [InlineData("there is no option --server", "serve", "--server")]
    [InlineData("there is no option --server", "chat", "--server")]
    [InlineData("--server: there is no such command, model or file", "--", "--server")] // a model of this name
    public void The_name_stands_for_the_command_where_no_other_is_named(string message, params string[] args) =>
        Assert.Contains(message, BuiltProgram.Run(args).Err, StringComparison.Ordinal);

    [Fact]
    public async Task RLLaMA_s_example_gets_a_line_for_each_token()
    {
        await using RunningServer server = await RunningServer.StartAsync();
        using HttpRequestMessage request = new(HttpMethod.Post, "/rllama/v1/inference")
        {
            Content = new ByteArrayContent("""
                {"prompt": "Hello world!", "max_seq_len": 1024, "max_new_tokens": 200, "no_token_sampling": false}
                """u8.ToArray()) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
            Headers = { { "User-Agent", "python-requests/2.28.2" }, { "Accept-Encoding", "gzip, deflate" }, { "Accept", "*/*" } },
        };
        using HttpResponseMessage response = await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using StreamReader reader = new(await response.Content.ReadAsStreamAsync());
        int lines = 0;
        while (await reader.ReadLineAsync() is { } line)
        {
            lines++;
            Assert.Matches("""^\{"([^"\\]|\\.)*":\{"p":[0-9.E-]+(,"is_end_token":true)?\}\}$""", line);
        }
        Assert.InRange(lines, 1, 200);
        Assert.True(response.Headers.TransferEncodingChunked);
    }
}
