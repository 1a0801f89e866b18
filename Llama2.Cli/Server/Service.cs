using Llama2.Cli.Terminal;
using Llama2.Fast.Engine;
using Llama2.Simple;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>What the operator of a server chose.</summary>
internal sealed record ServerOptions
{
    public string Host { get; init; } = "127.0.0.1";
    public int Port { get; init; } = 8080;                      // 0: any that is free
    public IReadOnlyList<string> ApiKeys { get; init; } = [];   // none: anybody may ask
    public IReadOnlyList<string> CorsOrigins { get; init; } = []; // web pages that may ask; *: all
    public TimeSpan Timeout { get; init; }                      // of a request
    public long MaxBody { get; init; }                          // bytes of a request
    public int MaxRequestLine { get; init; } = 8 << 10;         // bytes
    public int MaxHeaders { get; init; } = 100;                 // of a request
    public int MaxHeaderBytes { get; init; } = 32 << 10;        // of all of them
    public int MaxConnections { get; init; }                    // 0: any number
    public TimeSpan HeaderTimeout { get; init; } = TimeSpan.FromSeconds(30); // that a request line and headers may take
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(130); // that a connection without a request stays open
    public int MinRate { get; init; } = 240;                    // bytes a second that a client must send and take; 0: any
    public int MaxDepth { get; init; } = 32;                    // of a request's JSON
    public TimeSpan JobAge { get; init; }                       // that a job is kept for once it has ended
    public int JobCharacters { get; init; } = 16 << 20;         // of all jobs that have ended; the oldest are forgotten sooner
    public TimeSpan Grace { get; init; }                        // for requests that run when the server ends
    public TimeSpan PingAfter { get; init; } = TimeSpan.FromSeconds(15); // that an event stream is silent; proxies often give up after 60
}

/// <summary>What all requests share.</summary>
internal sealed class Service(ServerOptions options)
{
    private volatile GenerationEngine? _engine;

    public ServerOptions Options => options;
    public Metrics Metrics { get; } = new();
    public JobStore Jobs { get; } = new(TimeProvider.System, options.JobAge, options.JobCharacters);
    public ServedModel? Model { get; private set; }     // null until it is loaded
    public GenerationEngine? Engine => _engine;         // null until then
    public SlotFiles? SlotFiles { get; set; }           // null where slots are not saved
    public bool IsStopping { get; private set; }

    public ApiException TimedOut => new(504, "timeout_error", $"not done within {options.Timeout.TotalSeconds} s", code: "timeout");

    public void Begin(ServedModel model, GenerationEngine engine) => (Model, _engine) = (model, engine);

    public void Stop()
    {
        IsStopping = true;
        _engine?.Close();
    }

    /// <summary>Counts and logs what has ended.</summary>
    public void Count(CountedWork work, bool isLogged = true)
    {
        Metrics.Count(work);
        if (isLogged)
            RequestLog.Write(work);
    }

    /// <summary>What an exception is called towards a client.</summary>
    public ApiException ErrorOf(CountedWork work, Exception e) => e switch
    {
        ApiException error => error,
        BadHttpRequestException { StatusCode: var status } => new(status, "invalid_request_error", status switch
        {
            413 => $"the body is larger than {options.MaxBody} bytes",
            408 => $"the body is slower than {options.MinRate} bytes a second",
            _ => e.Message,
        }),
        QueueFullException => ApiException.Unavailable(e.Message, "queue_full"),
        EngineClosedException => ApiException.Unavailable(e.Message, IsStopping ? "shutting_down" : "broken"),
        ContextFullException => ApiException.Invalid(e.Message, code: "context_length_exceeded"),
        OperationCanceledException => TimedOut,
        _ => Unforeseen(work, e),
    };

    private static ApiException Unforeseen(CountedWork work, Exception e)
    {
        Notes.Write($"llama2: request {work.Id}: {e.GetType().Name} at {e.StackTrace?.Split('\n')[0].Trim()}"); // not its text
        return new(500, "server_error", "the server failed to answer; its log says where", code: "internal_error");
    }
}
