using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>A tab of Chromium, driven by its DevTools protocol.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private readonly string _tools; // the address of DevTools
    private readonly ClientWebSocket _socket = new();
    private Process? _process; // of the first tab
    private string? _folder;
    private int _id;

    private Browser(string tools) => _tools = tools;

    /// <summary>Where Chromium is, or null.</summary>
    public static string? Path { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(System.IO.Path.PathSeparator)
        .SelectMany(folder => (string[])[$"{folder}/chromium", $"{folder}/chromium-browser", $"{folder}/google-chrome"])
        .FirstOrDefault(File.Exists);

    public static async Task<Browser> StartAsync()
    {
        string folder = Directory.CreateTempSubdirectory("llama2-browser-").FullName;
        string[] args =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", $"--user-data-dir={folder}", "about:blank"];
        Process process = Process.Start(new ProcessStartInfo(Path!, args) { RedirectStandardError = true })!;
        const string Start = "DevTools listening on ";
        string? line;
        while ((line = await process.StandardError.ReadLineAsync()) is not null && !line.StartsWith(Start, StringComparison.Ordinal))
            continue;
        _ = process.StandardError.ReadToEndAsync();
        string tools = $"http://{new Uri(line![Start.Length..]).Authority}";
        using HttpClient client = new();
        JsonArray pages = (await client.GetFromJsonAsync<JsonArray>($"{tools}/json/list"))!;
        Browser browser = await ConnectAsync(tools, pages.First(page => (string)page!["type"]! == "page")!);
        (browser._process, browser._folder) = (process, folder);
        return browser;
    }

    /// <summary>Another tab, which ends with the first.</summary>
    public async Task<Browser> NewTabAsync()
    {
        using HttpClient client = new();
        using HttpResponseMessage response = await client.PutAsync($"{_tools}/json/new?about:blank", null);
        return await ConnectAsync(_tools, (await response.Content.ReadFromJsonAsync<JsonNode>())!);
    }

    private static async Task<Browser> ConnectAsync(string tools, JsonNode page)
    {
        Browser browser = new(tools);
        await browser._socket.ConnectAsync(new Uri((string)page["webSocketDebuggerUrl"]!), default);
        return browser;
    }

    public async Task<JsonNode> CallAsync(string method, object parameters)
    {
        int id = ++_id;
        byte[] message = JsonSerializer.SerializeToUtf8Bytes(new { id, method, @params = parameters });
        await _socket.SendAsync(message, WebSocketMessageType.Text, true, default);
        while (true)
        {
            using MemoryStream received = new();
            byte[] buffer = new byte[1 << 16];
            WebSocketReceiveResult part;
            do
            {
                part = await _socket.ReceiveAsync(buffer, default);
                received.Write(buffer, 0, part.Count);
            }
            while (!part.EndOfMessage);
            JsonNode answer = JsonNode.Parse(received.ToArray())!;
            if ((int?)answer["id"] == id)
                return answer["result"] ?? throw new InvalidOperationException(answer.ToJsonString());
        }
    }

    /// <summary>The value of an expression in the page.</summary>
    public async Task<JsonNode?> EvaluateAsync(string expression)
    {
        JsonNode result = await CallAsync("Runtime.evaluate", new { expression, returnByValue = true, awaitPromise = true });
        return result["exceptionDetails"] is not { } error ? result["result"]!["value"]
            : throw new InvalidOperationException(error.ToJsonString());
    }

    /// <summary>Waits until an expression holds in the page.</summary>
    public Task UntilAsync(string expression) => RunningServer.UntilAsync(async () => (bool)(await EvaluateAsync($"!!({expression})"))!);

    public async Task OpenAsync(string url)
    {
        await CallAsync("Page.navigate", new { url });
        await UntilAsync($"location.href.startsWith('{url}') && document.readyState === 'complete'");
    }

    /// <summary>Presses a key of one letter, Enter or Escape, where the focus is.</summary>
    public async Task PressAsync(string key)
    {
        string text = key == "Enter" ? "\r" : key.Length == 1 ? key : "";
        int code = key == "Enter" ? 13 : key == "Escape" ? 27 : 0;
        await CallAsync("Input.dispatchKeyEvent", new { type = "keyDown", key, text, windowsVirtualKeyCode = code });
        await CallAsync("Input.dispatchKeyEvent", new { type = "keyUp", key, windowsVirtualKeyCode = code });
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        if (_process is null)
            return;
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(_folder!, recursive: true);
    }
}
