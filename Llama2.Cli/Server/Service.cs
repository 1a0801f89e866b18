using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>What the operator of a server chose.</summary>
internal sealed record ServerOptions
{
    public string Host { get; init; } = "127.0.0.1";
    public int Port { get; init; } = 8080;                      // 0: any that is free
    public IReadOnlyList<string> ApiKeys { get; init; } = [];   // none: anybody may ask
    public IReadOnlyList<string> CorsOrigins { get; init; } = []; // web pages that may ask; *: all
    public TimeSpan Timeout { get; init; }                      // of a request
    public TimeSpan Grace { get; init; }                        // for requests that run when the server ends
}

/// <summary>What all requests share.</summary>
internal sealed class Service(ServerOptions options)
{
    private volatile GenerationEngine? _engine;

    public ServerOptions Options => options;
    public Metrics Metrics { get; } = new();
    public ServedModel? Model { get; private set; }     // null until it is loaded
    public GenerationEngine? Engine => _engine;         // null until then
    public SlotFiles? SlotFiles { get; set; }           // null where slots are not saved
    public bool IsStopping { get; private set; }

    public void Begin(ServedModel model, GenerationEngine engine) => (Model, _engine) = (model, engine);

    public void Stop()
    {
        IsStopping = true;
        _engine?.Close();
    }
}
