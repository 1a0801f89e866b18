using System.Buffers;
using System.Globalization;
using System.Text;
using Llama2.Fast.Engine;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>A request and its answer.</summary>
/// <param name="service">What it is asked of.</param>
internal sealed class Call(HttpContext http, Service service) : CountedWork
{
    private const int ManyBytes = 64 << 10; // that are sent before more parts are added

    private readonly ArrayBufferWriter<byte> _parts = new(); // that have not been sent
    private string? _stream; // the content type of an answer that comes in parts, once it has begun

    public HttpContext Http => http;
    public Service Service => service;
    public override string Id { get; } = $"{Guid.NewGuid():N}"[..16];
    public string User { get; set; } = ""; // the key that it came with
    public string Name { get; set; } = ""; // what stands in the path where the route has a *
    public ErrorShape Errors { get; set; }

    // nginx's number for a client that has left
    public override string Status =>
        Failure == "disconnect" ? "499" : http.Response.StatusCode.ToString(CultureInfo.InvariantCulture);

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
            throw service.TimedOut;
    }

    /// <summary>The body, which is a JSON object.</summary>
    public async Task<Fields> ReadAsync()
    {
        using MemoryStream body = new();
        await http.Request.Body.CopyToAsync(body, http.RequestAborted);
        return Fields.Parse(body.GetBuffer().AsMemory(0, (int)body.Length), service.Options.MaxDepth);
    }

    public Task WriteJsonAsync(byte[] json, int status = 200) => WriteAsync("application/json", json, status);

    public async Task WriteAsync(string contentType, byte[] body, int status = 200)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = contentType;
        http.Response.ContentLength = body.Length;
        await http.Response.Body.WriteAsync(body);
    }

    /// <summary>Begins an answer that comes in parts: server-sent events or lines of JSON.</summary>
    public void BeginStream(string contentType)
    {
        if (_stream is not null)
            return;
        _stream = contentType;
        http.Response.ContentType = contentType;
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers["X-Accel-Buffering"] = "no"; // nginx would hold parts back
    }

    /// <summary>Whether so much was added that it is sent first: for a client that reads slowly, all parts may be ready at once.</summary>
    public bool HasManyParts => _parts.WrittenCount >= ManyBytes;

    /// <summary>Adds a part to such an answer; nothing of null.</summary>
    public void AddPart(byte[]? json)
    {
        if (json is null)
            return;
        bool isEvent = _stream == PartFormat.Events;
        _parts.Write(isEvent ? "data: "u8 : []);
        _parts.Write(json);
        _parts.Write(isEvent ? "\n\n"u8 : "\n"u8);
    }

    /// <summary>Sends the parts that were added.</summary>
    public async Task SendPartsAsync()
    {
        await http.Response.Body.WriteAsync(_parts.WrittenMemory);
        await http.Response.Body.FlushAsync();
        _parts.ResetWrittenCount();
    }

    /// <summary>Answers with an error: a status, or where the answer has begun a part, after which it ends.</summary>
    public async Task FailAsync(ApiException error)
    {
        Failure = error.Reason;
        if (_stream is not null)
        {
            AddPart(_stream == PartFormat.Events ? ApiJson.Bytes(error.Body) : ApiJson.Bytes(new ErrorText(error.Message)));
            await SendPartsAsync();
        }
        else if (!http.Response.HasStarted)
        {
            if (error.Status == StatusCodes.Status503ServiceUnavailable)
                http.Response.Headers.RetryAfter = "1"; // s
            await (Errors switch
            {
                ErrorShape.OpenAi => WriteJsonAsync(ApiJson.Bytes(error.Body), error.Status),
                ErrorShape.Message => WriteJsonAsync(ApiJson.Bytes(new ErrorText(error.Message)), error.Status),
                _ => WriteAsync("text/plain; charset=utf-8", Encoding.UTF8.GetBytes(error.Message), error.Status),
            });
        }
    }
}
