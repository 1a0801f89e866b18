using System.Text;
using Llama2.Cli.Server;
using Llama2.Fast.Engine;
using Llama2.Tests.Fast;
using Microsoft.AspNetCore.Http;

namespace Llama2.Tests.Cli.Server;

/// <summary>An event stream whose first token is long in coming says so, for proxies that close silent connections.</summary>
public sealed class PingTests : IDisposable
{
    private const string Events = "/v1/completions", Lines = "/api/generate";

    private readonly ManualResetEventSlim _mayGoOn = new();
    private readonly MemoryStream _body = new();

    public void Dispose()
    {
        _mayGoOn.Dispose();
        _body.Dispose();
    }

    /// <summary>The answer of a model that waits and then does something; it waits until a comment has come, or else not.</summary>
    private async Task<(int Status, string Body)> AskAsync(string path, TimeSpan pingAfter, bool comes, Action? then = null)
    {
        using GenerationEngine engine = new(new CountingModel(_ =>
        {
            _mayGoOn.Wait();
            then?.Invoke();
        }));
        Service service = CountingService.Start(engine, pingAfter);
        DefaultHttpContext http = new() { Request = { Method = "POST", Path = path }, Response = { Body = _body } };
        http.Request.Body = new MemoryStream("""{"model":"model","prompt":"a","raw":true,"stream":true,"max_tokens":3,"temperature":0}"""u8
            .ToArray());
        Task answer = new Routes(service).AnswerAsync(http);
        if (comes)
            await RunningServer.UntilAsync(() => _body.Length > 30); // two comments or more
        _mayGoOn.Set();
        await answer;
        return (http.Response.StatusCode, Encoding.UTF8.GetString(_body.ToArray()));
    }

    [Fact]
    public async Task Comments_come_until_the_first_token_and_then_all_is_as_without_them()
    {
        (int status, string body) = await AskAsync(Events, TimeSpan.FromMilliseconds(1), comes: true);
        string[] events = body.TrimEnd('\n').Split("\n\n");
        int comments = events.TakeWhile(part => part == ": waiting").Count();
        Assert.Equal((200, true, "data: [DONE]"), (status, comments >= 2, events[^1]));
        Assert.Equal(3 + 1 + 1, events.Length - comments); // tokens, the reason, the end
        Assert.All(events[comments..], part => Assert.StartsWith("data: ", part, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_error_after_a_comment_is_an_event()
    {
        (int status, string body) = await AskAsync(Events, TimeSpan.FromMilliseconds(1), comes: true, Fail);
        Assert.Equal(200, status);
        Assert.Matches("^(: waiting\n\n)+data: \\{\"error\":\\{\"message\":\"[^\n]+\n\n$", body);
    }

    [Theory]
    [InlineData(Events, "3600", "{\"error\":{\"message\":\"the server")]
    [InlineData(Lines, "0.001", "{\"error\":\"the server")] // lines of JSON have no comments
    public async Task Without_a_comment_an_error_has_a_status(string path, string seconds, string error)
    {
        TimeSpan pingAfter = TimeSpan.FromSeconds(double.Parse(seconds, System.Globalization.CultureInfo.InvariantCulture));
        (int status, string body) = await AskAsync(path, pingAfter, comes: false, Fail);
        Assert.Equal(500, status);
        Assert.StartsWith(error, body, StringComparison.Ordinal);
    }

    private static void Fail() => throw new InvalidOperationException("no");
}
