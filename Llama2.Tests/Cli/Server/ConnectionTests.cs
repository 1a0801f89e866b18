using System.Globalization;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;

namespace Llama2.Tests.Cli.Server;

/// <summary>A server that is strict with what comes before a body, and patient with the body.</summary>
public sealed class StrictServer() : SharedServer("--max-request-line", "60", "--max-headers", "4",
    "--max-header-bytes", "200", "--header-timeout", "1", "--keep-alive", "1", "--min-rate", "0", "--max-body", "1000000");

/// <summary>Whoever runs the server says how many connections it has, and what they may do before there is a request.</summary>
public sealed class ConnectionTests(StrictServer strict, StoryServer story) : IClassFixture<StrictServer>, IClassFixture<StoryServer>
{
    private const string Models = "GET /v1/models HTTP/1.1\r\nHost: localhost";
    private const string Rest = """{"content":"Once"}""";

    /// <summary>A connection of which every byte is the test's own.</summary>
    private sealed class Connection : IDisposable
    {
        private readonly TcpClient _client;

        public Connection(RunningServer server) => _client = new(new Uri(server.Url).Host, new Uri(server.Url).Port);

        public void Send(string text) => _client.Client.Send(Encoding.ASCII.GetBytes(text));

        /// <summary>All that comes until the server closes the connection.</summary>
        public string ReadToEnd()
        {
            using StreamReader reader = new(_client.GetStream());
            return reader.ReadToEnd();
        }

        /// <summary>Sends a request without a body, and reads the head and the body of an answer.</summary>
        public string Get(string head)
        {
            Send(head + "\r\n\r\n");
            StreamReader reader = new(_client.GetStream());
            StringBuilder answer = new();
            int length = 0;
            while (reader.ReadLine() is { Length: > 0 } line)
            {
                answer.Append(line).Append('\n');
                if (line.StartsWith("Content-Length: ", StringComparison.Ordinal))
                    length = int.Parse(line["Content-Length: ".Length..], CultureInfo.InvariantCulture);
            }
            char[] body = new char[length];
            reader.ReadBlock(body);
            return answer.Append('\n').Append(body).ToString();
        }

        /// <summary>The same on a connection of its own.</summary>
        public static string Get(RunningServer server, string head)
        {
            using Connection connection = new(server);
            return connection.Get(head);
        }

        public void Dispose() => _client.Dispose();
    }

    private static string Health(int more = 0, string header = "X: y") =>
        "GET /health HTTP/1.1\r\nHost: localhost" + string.Concat(Enumerable.Repeat("\r\n" + header, more));

    public static TheoryData<string, string, string> Heads => new()
    {
        { Health(more: 3), Health(more: 4), "HTTP/1.1 431 " },
        { Health(1, new string('x', 100) + ": 1"), Health(1, new string('x', 200) + ": 1"), "HTTP/1.1 431 " },
        { Health().Replace("/health", "/health?" + new string('x', 30)), Health().Replace("/health", "/health?" + new string('x', 60)),
            "HTTP/1.1 414 " },
    };

    [Theory]
    [MemberData(nameof(Heads))]
    public void Headers_and_paths_may_be_as_many_and_as_long_as_the_options_say(string fits, string tooMuch, string refused)
    {
        Assert.StartsWith("HTTP/1.1 200 ", Connection.Get(strict.Server, fits), StringComparison.Ordinal);
        Assert.StartsWith(refused, Connection.Get(strict.Server, tooMuch), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200 ", Connection.Get(story.Server, tooMuch), StringComparison.Ordinal);
    }

    [Fact]
    public void Half_a_head_is_waited_for_as_long_as_the_option_says()
    {
        using Connection otherwise = new(story.Server), limited = new(strict.Server);
        otherwise.Send(Health());
        limited.Send(Health());
        Assert.StartsWith("HTTP/1.1 408 ", limited.ReadToEnd(), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200 ", otherwise.Get(""), StringComparison.Ordinal);
    }

    [Fact]
    public void A_connection_without_a_request_stays_as_long_as_the_option_says()
    {
        using Connection otherwise = new(story.Server);
        Assert.StartsWith("HTTP/1.1 200 ", otherwise.Get(Health()), StringComparison.Ordinal);
        using Connection limited = new(strict.Server);
        Assert.StartsWith("HTTP/1.1 200 ", limited.Get(Health()), StringComparison.Ordinal);
        Assert.Equal("", limited.ReadToEnd());
        Assert.StartsWith("HTTP/1.1 200 ", otherwise.Get(Health()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_body_may_be_as_slow_as_the_option_says()
    {
        string head = $"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {Rest.Length + 1}\r\n\r\n ";
        using Connection any = new(strict.Server), otherwise = new(story.Server);
        any.Send(head);
        otherwise.Send(head);
        string refused = otherwise.ReadToEnd();
        Assert.StartsWith("HTTP/1.1 408 ", refused, StringComparison.Ordinal);
        Assert.Contains("the body is slower than 240 bytes a second", refused, StringComparison.Ordinal);
        any.Send(Rest);
        Assert.StartsWith("HTTP/1.1 200 ", any.ReadToEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_connection_too_many_is_told_so_and_lets_nobody_wait_once_another_ends()
    {
        await using RunningServer server = await RunningServer.StartAsync("--max-connections", "2");
        using Connection first = new(server), second = new(server), third = new(server);
        Assert.StartsWith("HTTP/1.1 200 ", first.Get(Health()), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200 ", second.Get(Health()), StringComparison.Ordinal);
        string refused = third.Get(Models);
        Assert.Matches("^HTTP/1.1 503 (.|\n)*\nConnection: close\n(.|\n)*Retry-After: 1\n", refused);
        Assert.Contains("\"the server has 2 connections already\"", refused, StringComparison.Ordinal);
        Assert.Equal("", third.ReadToEnd());

        using (Connection waiting = new(server), more = new(server), beyond = new(server)) // which send nothing
            Assert.Equal("", beyond.ReadToEnd());
        first.Dispose();
        await RunningServer.UntilAsync(() =>
        {
            using Connection next = new(server);
            return next.Get(Models).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal);
        });
        Assert.StartsWith("HTTP/1.1 200 ", second.Get(Models), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_with_too_many_connections_is_alive_and_pages_can_read_that_it_is_busy()
    {
        const string Page = "https://page.example", Origin = "\r\nOrigin: " + Page;
        await using RunningServer server = await RunningServer.StartAsync("--max-connections", "3", "--cors-origin", Page);
        using Connection first = new(server), second = new(server), third = new(server); // and three more that are told
        foreach (Connection connection in (Connection[])[first, second, third])
            Assert.StartsWith("HTTP/1.1 200 ", connection.Get(Models), StringComparison.Ordinal);
        using Connection health = new(server), page = new(server), other = new(server);
        Assert.Matches("^HTTP/1.1 200 (.|\n)*\nConnection: close\n", health.Get(Health()));
        Assert.Matches("^HTTP/1.1 503 (.|\n)*\nAccess-Control-Allow-Origin: " + Page, page.Get(Models + Origin));
        Assert.StartsWith("HTTP/1.1 403 ", other.Get(Models + Origin + ".com"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_event_stream_is_silent_as_long_as_the_option_says()
    {
        using TestFolder folder = new();
        await using RunningServer server = await RunningServer.StartAsync(
            EndlessModel.Write(folder.Path), "--pods", "1", "--threads", "1", "--timeout", "9", "--sse-ping-interval", "1");
        object endless = new { prompt = "Once", max_tokens = -1, ignore_eos = true, stream = true, logprobs = 20 };
        using HttpRequestMessage before = new(HttpMethod.Post, "/v1/completions") { Content = JsonContent.Create(endless) };
        using HttpResponseMessage running = await server.Client.SendAsync(before, HttpCompletionOption.ResponseHeadersRead);
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions") { Content = JsonContent.Create(endless) };
        using HttpResponseMessage waits = await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using StreamReader reader = new(await waits.Content.ReadAsStreamAsync());
        Assert.Equal(": waiting", await reader.ReadLineAsync());
    }
}
