using System.Buffers;
using System.Diagnostics;
using Llama2.Fast.Engine;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>A request and its answer.</summary>
/// <param name="service">What it is asked of.</param>
internal sealed class Call(HttpContext http, Service service)
{
    private readonly long _began = Stopwatch.GetTimestamp();
    private bool _hasEvents;

    public HttpContext Http => http;
    public Service Service => service;
    public string Id { get; } = $"{Guid.NewGuid():N}"[..16];
    public string Route { get; set; } = "-";  // as this server names it, not as the client wrote it
    public string User { get; set; } = "";    // whose key it came with
    public Answers? Answers { get; set; }
    public int EmbeddedTokens { get; set; }
    public string? Failure { get; set; }      // the type of the error that it ended with
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_began);

    // of routes that need the model
    public ServedModel Model => service.Model!;
    public GenerationEngine Engine => service.Engine!;

    /// <summary>Cancelled where the client leaves, or after the time that a request may take.</summary>
    public CancellationTokenSource CreateCancellation()
    {
        CancellationTokenSource source = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        source.CancelAfter(service.Options.Timeout);
        return source;
    }

    /// <summary>Throws where the texts were cut off.</summary>
    public void ThrowIfCutOff(bool isWhole)
    {
        http.RequestAborted.ThrowIfCancellationRequested();
        if (!isWhole)
            throw Timeout;
    }

    public ApiException Timeout => new(504, "timeout_error", $"not done within {service.Options.Timeout.TotalSeconds} s", code: "timeout");

    /// <summary>The body, which is a JSON object.</summary>
    public async Task<Fields> ReadAsync()
    {
        using MemoryStream body = new();
        await http.Request.Body.CopyToAsync(body, http.RequestAborted);
        return Fields.Parse(body.GetBuffer().AsMemory(0, (int)body.Length));
    }

    public async Task WriteJsonAsync(byte[] json, int status = 200)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = json.Length;
        await http.Response.Body.WriteAsync(json);
    }

    public void BeginEvents()
    {
        _hasEvents = true;
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no"; // nginx would hold events back
    }

    public void WriteEvent(ReadOnlySpan<byte> json)
    {
        IBufferWriter<byte> writer = http.Response.BodyWriter;
        writer.Write("data: "u8);
        writer.Write(json);
        writer.Write("\n\n"u8);
    }

    /// <summary>Answers with an error: a status, or where the answer has begun an event, after which it ends.</summary>
    public async Task FailAsync(ApiException error)
    {
        Failure = error.Body.Error.Code ?? error.Body.Error.Type;
        byte[] json = ApiJson.Bytes(error.Body);
        if (_hasEvents)
        {
            WriteEvent(json);
            await http.Response.BodyWriter.FlushAsync();
        }
        else if (!http.Response.HasStarted)
        {
            if (error.RetryAfter is { } seconds)
                http.Response.Headers.RetryAfter = $"{seconds}";
            await WriteJsonAsync(json, error.Status);
        }
    }
}
