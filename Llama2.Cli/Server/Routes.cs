using System.Globalization;
using Llama2.Cli.Terminal;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>What the server answers to: each path and method, and every error as JSON.</summary>
internal sealed class Routes(Service service)
{
    private sealed record Route(string Method, string Path, Func<Call, Task> AnswerAsync)
    {
        public bool IsPublic { get; init; }           // without a key
        public bool NeedsModel { get; init; } = true; // else it answers before the model is loaded
        public bool IsLogged { get; init; } = true;
    }

    private static readonly Dictionary<string, Route> All = new Route[]
    {
        new("GET", "/", PageEndpoint.AnswerAsync) { IsPublic = true, NeedsModel = false, IsLogged = false },
        new("GET", "/health", StatusEndpoints.HealthAsync) { IsPublic = true, IsLogged = false },
        new("GET", "/metrics", StatusEndpoints.MetricsAsync) { NeedsModel = false, IsLogged = false },
        new("GET", "/props", StatusEndpoints.PropsAsync),
        new("GET", "/slots", StatusEndpoints.SlotsAsync),
        new("POST", SlotEndpoints.SlotPath, SlotEndpoints.ActAsync),
        new("GET", "/v1/models", StatusEndpoints.ModelsAsync),
        new("GET", StatusEndpoints.ModelPath, StatusEndpoints.ModelAsync),
        new("POST", "/v1/chat/completions", TextEndpoints.ChatAsync),
        new("POST", "/v1/completions", TextEndpoints.CompletionAsync),
        new("POST", "/v1/embeddings", TokenEndpoints.EmbeddingsAsync),
        new("POST", "/tokenize", TokenEndpoints.TokenizeAsync),
        new("POST", "/detokenize", TokenEndpoints.DetokenizeAsync),
        new("POST", "/apply-template", TokenEndpoints.ApplyTemplateAsync),
    }.ToDictionary(route => route.Path);

    private readonly Access _access = new(service.Options);

    /// <summary>Answers a request; throws nothing.</summary>
    public async Task AnswerAsync(HttpContext http)
    {
        Call call = new(http, service);
        Route? route = Find(http.Request.Path.Value ?? "");
        try
        {
            await AnswerAsync(call, route);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            call.Failure = "disconnect";
        }
        catch (Exception e)
        {
            await TryFailAsync(call, e);
        }
        service.Metrics.Count(call);
        if (route?.IsLogged != false)
            RequestLog.Write(call);
    }

    private async Task AnswerAsync(Call call, Route? route)
    {
        HttpContext http = call.Http;
        call.Route = route?.Path ?? "-";
        _access.CheckOrigin(http);
        if (HttpMethods.IsOptions(http.Request.Method) && http.Request.Headers.ContainsKey("Origin"))
        {
            Access.AnswerPreflight(http);
            return;
        }
        call.User = route is { IsPublic: true } ? "" : _access.User(http.Request);
        if (route is null)
            throw new ApiException(404, "not_found_error", "there is nothing at this path", code: "not_found");
        if (http.Request.Method != route.Method && !(route.Method == "GET" && HttpMethods.IsHead(http.Request.Method)))
        {
            http.Response.Headers.Allow = route.Method;
            throw new ApiException(405, "invalid_request_error", $"this path is for {route.Method}", code: "method_not_allowed");
        }
        if (service.IsStopping)
            throw ApiException.Unavailable("the server is ending", "shutting_down");
        if (route.NeedsModel && service.Engine is null)
            throw ApiException.Unavailable("Loading model", "loading_model");
        await route.AnswerAsync(call);
    }

    // OpenAI's clients put /v1 before a path or leave it out.
    private static Route? Find(string path) =>
        All.GetValueOrDefault(path) ?? All.GetValueOrDefault("/v1" + path)
        ?? (path.StartsWith(StatusEndpoints.ModelPath, StringComparison.Ordinal) ? All[StatusEndpoints.ModelPath]
            : path.StartsWith(SlotEndpoints.SlotPath, StringComparison.Ordinal) ? All[SlotEndpoints.SlotPath]
            : path.StartsWith("/v1/", StringComparison.Ordinal) ? All.GetValueOrDefault(path[3..]) : null);

    private async Task TryFailAsync(Call call, Exception e)
    {
        try
        {
            await call.FailAsync(ErrorOf(call, e));
        }
        catch (Exception) // there is nobody to tell any more
        {
            call.Failure = "disconnect";
        }
    }

    private ApiException ErrorOf(Call call, Exception e)
    {
        switch (e)
        {
            case ApiException error:
                return error;
            case BadHttpRequestException { StatusCode: var status }:
                string problem = status == 413
                    ? string.Create(CultureInfo.InvariantCulture, $"the body is larger than {LlamaServer.MaxBody} bytes") : e.Message;
                return new(status, "invalid_request_error", problem);
            case QueueFullException:
                return ApiException.Unavailable(e.Message, "queue_full");
            case EngineClosedException:
                return ApiException.Unavailable(e.Message, service.IsStopping ? "shutting_down" : "broken");
            case ContextFullException:
                return ApiException.Invalid(e.Message, code: "context_length_exceeded");
            case OperationCanceledException:
                return call.Timeout;
            default:
                Notes.Write($"llama2: request {call.Id}: {e.GetType().Name} at {e.StackTrace?.Split('\n')[0].Trim()}"); // not its text
                return new(500, "server_error", "the server failed to answer; its log says where", code: "internal_error");
        }
    }
}
