using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>llama2 serve, the built program, on a port of its own.</summary>
public sealed class RunningServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly TaskCompletionSource<string> _url = new();
    private readonly TaskCompletionSource _ready = new();
    private readonly Task _reading;

    private RunningServer(string[] args)
    {
        _process = BuiltProgram.Start(new(), args);
        _process.StandardInput.Close();
        _reading = ReadLogAsync();
    }

    /// <summary>Starts the program and waits until its model is loaded.</summary>
    public static Task<RunningServer> StartAsync(params string[] args) => StartAsAsync(["serve", "--port", "0", .. args]);

    /// <summary>The same with all arguments of the program.</summary>
    public static async Task<RunningServer> StartAsAsync(params string[] args)
    {
        RunningServer server = new(args);
        TimeSpan timeout = TimeSpan.FromMinutes(2);
        server.Client = new HttpClient(new SocketsHttpHandler { Expect100ContinueTimeout = timeout }) // it would send after a second
        {
            BaseAddress = new Uri(await server._url.Task),
            Timeout = timeout,
        };
        await server._ready.Task;
        return server;
    }

    public HttpClient Client { get; private set; } = null!;
    public string Url => _url.Task.Result;

    /// <summary>All of stderr so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    private async Task ReadLogAsync()
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            lock (_log)
                _log.Append(line).Append('\n');
            if (line.StartsWith("listening on ", StringComparison.Ordinal))
                _url.TrySetResult(line["listening on ".Length..]);
            if (line == "ready")
                _ready.TrySetResult();
        }
        InvalidOperationException gone = new("the program has ended: " + Log);
        _url.TrySetException(gone);
        _ready.TrySetException(gone);
    }

    /// <summary>The status and the body of the answer to a JSON body.</summary>
    public async Task<(int Status, JsonNode Body)> PostAsync(string path, object body)
    {
        using HttpResponseMessage response = await Client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        return ((int)response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
    }

    /// <summary>The same for any bytes.</summary>
    public async Task<(int Status, string Body)> PostBytesAsync(string path, byte[] body)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, path) { Content = new ByteArrayContent(body) };
        request.Headers.ExpectContinue = body.Length > 1 << 20; // else a refusal breaks off the sending
        using HttpResponseMessage response = await Client.SendAsync(request, TestContext.Current.CancellationToken);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    /// <summary>The text of a completion.</summary>
    public async Task<string> CompleteAsync(object body)
    {
        (int status, JsonNode answer) = await PostAsync("/v1/completions", body);
        Assert.True(status == 200, answer.ToJsonString());
        return (string)answer["choices"]![0]!["text"]!;
    }

    /// <summary>All lines of JSON of an answer that comes in lines.</summary>
    public async Task<JsonNode[]> LinesAsync(string path, object body)
    {
        using HttpResponseMessage response = await Client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType!.ToString());
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        return [.. text[..^1].Split('\n').Select(line => JsonNode.Parse(line)!)];
    }

    /// <summary>The data of all events of a stream.</summary>
    public async Task<List<string>> StreamAsync(string path, object body)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        using HttpResponseMessage response = await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.ToString());
        Assert.EndsWith("\n\n", text, StringComparison.Ordinal);
        string[] events = text[..^2].Split("\n\n");
        Assert.All(events, line => Assert.Matches("^data: [^\n]*$", line));
        return [.. events.Select(line => line["data: ".Length..])];
    }

    public async Task<double> MetricAsync(string name)
    {
        string text = await Client.GetStringAsync("/metrics");
        string line = text.Split('\n').Single(line => line.StartsWith(name, StringComparison.Ordinal) && line[name.Length] is ' ' or '{');
        return double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture);
    }

    /// <summary>Waits until a condition holds; fails if it never does.</summary>
    public static async Task UntilAsync(Func<Task<bool>> holds)
    {
        using CancellationTokenSource never = new(TimeSpan.FromMinutes(3));
        while (!await holds())
            await Task.Delay(10, never.Token);
    }

    public static Task UntilAsync(Func<bool> holds) => UntilAsync(() => Task.FromResult(holds()));

    public async Task<JsonArray> SlotsAsync() => (JsonArray)JsonNode.Parse(await Client.GetStringAsync("/slots"))!;

    /// <summary>How many pods are busy.</summary>
    public async Task<int> BusyAsync() => (await SlotsAsync()).Count(slot => (bool)slot!["is_processing"]!);

    /// <summary>Sends SIGTERM.</summary>
    public void Terminate() => Process.Start("kill", ["-TERM", $"{_process.Id}"]).WaitForExit();

    /// <summary>Waits for the end of the program and of its log.</summary>
    public async Task<int> ExitCodeAsync()
    {
        using CancellationTokenSource never = new(TimeSpan.FromMinutes(3));
        await _process.WaitForExitAsync(never.Token);
        await _reading;
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _reading;
        Client?.Dispose();
        _process.Dispose();
    }
}

/// <summary>A server for all tests of a class, of the model that ships.</summary>
public abstract class SharedServer(params string[] args) : IAsyncLifetime
{
    public RunningServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await RunningServer.StartAsync(args);

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>Its answers just go on with the text.</summary>
public sealed class StoryServer() : SharedServer("--template", "plain");
