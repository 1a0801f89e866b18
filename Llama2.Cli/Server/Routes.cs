using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>What the server answers to: each path and method, and every error in the words of the path's API.</summary>
internal sealed class Routes(Service service)
{
    private sealed record Route(string Method, string Path, Func<Call, Task> AnswerAsync)
    {
        public bool IsPublic { get; init; }           // without a key
        public bool NeedsModel { get; init; } = true; // else it answers before the model is loaded
        public bool IsLogged { get; init; } = true;
        public ErrorShape? Errors { get; init; }      // null: what its path says

        /// <summary>A route whose requests have a body.</summary>
        public Route(string method, string path, Func<Call, Fields, Task> answerAsync)
            : this(method, path, async call => await answerAsync(call, await call.ReadAsync()))
        {
        }
    }

    // A * at the end of a path stands for a name.
    private static readonly ILookup<string, Route> All = new Route[]
    {
        new("GET", "/", PageEndpoint.AnswerAsync) { IsPublic = true, NeedsModel = false, IsLogged = false },
        new("GET", "/health", StatusEndpoints.HealthAsync) { IsPublic = true, IsLogged = false },
        new("GET", "/ping", StatusEndpoints.HealthAsync) { IsPublic = true, IsLogged = false },
        new("GET", "/version", StatusEndpoints.VersionAsync) { NeedsModel = false },
        new("GET", "/metrics", StatusEndpoints.MetricsAsync) { NeedsModel = false, IsLogged = false },
        new("GET", "/props", StatusEndpoints.PropsAsync),
        new("GET", "/slots", StatusEndpoints.SlotsAsync),
        new("POST", "/slots/*", SlotEndpoints.ActAsync),
        new("GET", "/v1/models", StatusEndpoints.ModelsAsync),
        new("GET", "/v1/models/*", StatusEndpoints.ModelAsync),
        new("POST", "/v1/chat/completions", TextEndpoints.ChatAsync),
        new("POST", "/v1/chat/completions/input_tokens", TokenEndpoints.CountAsync),
        new("POST", "/v1/completions", TextEndpoints.CompletionAsync),
        new("POST", "/completion", LlamaCppEndpoint.AnswerAsync),
        new("POST", "/completions", LlamaCppEndpoint.AnswerAsync), // as in llama.cpp, where only /v1/completions is OpenAI's
        new("POST", "/v1/embeddings", TokenEndpoints.EmbeddingsAsync),
        new("POST", "/tokenize", TokenEndpoints.TokenizeAsync),
        new("POST", "/detokenize", TokenEndpoints.DetokenizeAsync),
        new("POST", "/apply-template", TokenEndpoints.ApplyTemplateAsync),
        new("GET", "/api/version", OllamaEndpoints.VersionAsync) { NeedsModel = false },
        new("GET", "/api/tags", OllamaEndpoints.TagsAsync),
        new("GET", "/api/ps", OllamaEndpoints.RunningAsync),
        new("POST", "/api/show", OllamaEndpoints.ShowAsync),
        new("POST", "/api/generate", OllamaEndpoints.GenerateAsync),
        new("POST", "/api/chat", OllamaEndpoints.ChatAsync),
        new("POST", "/api/embed", OllamaEndpoints.EmbedAsync),
        new("POST", "/api/embeddings", OllamaEndpoints.EmbeddingsAsync),
        new("POST", "/jobs", JobEndpoints.AddAsync) { Errors = ErrorShape.Text },
        new("GET", "/jobs/status/*", JobEndpoints.StatusAsync) { Errors = ErrorShape.Text, IsLogged = false },
        new("GET", "/jobs/*", JobEndpoints.ResultAsync) { Errors = ErrorShape.Text, IsLogged = false },
        new("DELETE", "/jobs/*", JobEndpoints.StopAsync) { Errors = ErrorShape.Message },
        new("POST", "/rllama/v1/inference", RllamaEndpoint.AnswerAsync) { Errors = ErrorShape.Text },
    }.ToLookup(route => route.Path);

    private readonly Access _access = new(service.Options);

    /// <summary>Answers a request; throws nothing.</summary>
    public async Task AnswerAsync(HttpContext http)
    {
        Call call = new(http, service);
        string path = http.Request.Path.Value is [.. { Length: > 0 } longer, '/'] ? longer : http.Request.Path.Value ?? "";
        Route[] routes = Find(path);
        Route? route = Array.Find(routes, route => route.Method == Method(http)) ?? routes.FirstOrDefault();
        (call.Route, call.Name) = (route?.Path ?? "-", path[(path.LastIndexOf('/') + 1)..]);
        bool isOllama = (route?.Path ?? path).StartsWith("/api/", StringComparison.Ordinal);
        call.Errors = route?.Errors ?? (isOllama ? ErrorShape.Message : ErrorShape.OpenAi);
        try
        {
            await AnswerAsync(call, route, string.Join(", ", routes.Select(route => route.Method)));
        }
        catch (Exception e) when (e is ConnectionResetException // while the body was read
            || (e is OperationCanceledException && http.RequestAborted.IsCancellationRequested))
        {
            call.Failure = "disconnect";
        }
        catch (Exception e)
        {
            await TryFailAsync(call, e);
        }
        service.Count(call, isLogged: route?.IsLogged != false);
    }

    private async Task AnswerAsync(Call call, Route? route, string allowed)
    {
        HttpContext http = call.Http;
        ConnectionLimit.Exceeded? exceeded = http.Features.Get<ConnectionLimit.Exceeded>();
        if (exceeded is not null)
            http.Response.Headers.Connection = "close";
        _access.CheckOrigin(http);
        if (HttpMethods.IsOptions(http.Request.Method) && http.Request.Headers.ContainsKey("Origin"))
        {
            Access.AnswerPreflight(http);
            return;
        }
        if (exceeded is not null && route is not { IsPublic: true }) // a busy server is alive, whoever asks after its health
            throw ApiException.Unavailable($"the server has {exceeded.Max} connections already", "too_many_connections");
        call.User = route is { IsPublic: true } ? "" : _access.User(http.Request);
        if (route is null)
            throw new ApiException(404, "not_found_error", "there is nothing at this path", code: "not_found");
        if (route.Method != Method(http))
        {
            http.Response.Headers.Allow = allowed;
            throw new ApiException(405, "invalid_request_error", $"this path is for {allowed}", code: "method_not_allowed");
        }
        if (service.IsStopping && HttpMethods.IsPost(route.Method)) // the jobs that it has can be asked for
            throw ApiException.Unavailable("the server is ending", "shutting_down");
        if (route.NeedsModel && service.Engine is null)
            throw ApiException.Unavailable("Loading model", "loading_model");
        await route.AnswerAsync(call);
    }

    private static string Method(HttpContext http) => HttpMethods.IsHead(http.Request.Method) ? HttpMethods.Get : http.Request.Method;

    // OpenAI's clients put /v1 before a path or leave it out.
    private static Route[] Find(string path)
    {
        string[] spellings = [path, "/v1" + path, path.StartsWith("/v1/", StringComparison.Ordinal) ? path[3..] : path];
        return spellings.SelectMany(spelling => (string[])[spelling, spelling[..(spelling.LastIndexOf('/') + 1)] + "*"])
            .Select(spelling => All[spelling].ToArray()).FirstOrDefault(routes => routes.Length > 0) ?? [];
    }

    private async Task TryFailAsync(Call call, Exception e)
    {
        try
        {
            await call.FailAsync(service.ErrorOf(call, e));
        }
        catch (Exception) // there is nobody to tell any more
        {
            call.Failure = "disconnect";
        }
    }
}
