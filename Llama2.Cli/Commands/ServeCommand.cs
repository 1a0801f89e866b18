using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Server;
using Llama2.Cli.Terminal;
using Llama2.Fast.Engine;

namespace Llama2.Cli.Commands;

/// <summary>A server with OpenAI's, Ollama's and llama.cpp's API. It listens at once, and answers when the model is loaded.</summary>
internal sealed class ServeCommand(Command command)
{
    private static readonly ServerOptions DefaultServer = new();
    private static readonly RequestLimits DefaultLimits = new();
    private static readonly EngineOptions DefaultEngine = new();

    private readonly ModelOptions _model = new(command);

    private readonly Option<string> _host = command.AddOption("--host", "address", "the address to listen at", () => DefaultServer.Host);

    private readonly Option<int> _port = command.AddOption(
        "--port", "int", "the port, or 0 for any that is free", () => DefaultServer.Port);

    private readonly Option<int> _pods = command.AddOption("--pods", "N", "requests that are computed at once", () => DefaultEngine.Pods);

    private readonly Option<int> _maxQueue = command.AddOption(
        "--max-queue", "N", "requests that wait; more are refused", () => DefaultEngine.MaxQueue);

    private readonly Option<int> _chunk = command.AddOption("--chunk", "N", "tokens of prompts in a step beside the answers", () => 128);

    private readonly Option<long> _cacheBytes = command.AddOption(
        "--cache-bytes", "N", "bytes of KV caches to keep for prompts that begin alike", () => DefaultEngine.CacheBytes);

    private readonly Option<int> _maxFailures = command.AddOption("--max-failures", "N",
        "steps that fail one after another, until the server takes no more requests", () => DefaultEngine.MaxFailures);

    private readonly Option<string[]> _apiKey = command.AddOption<string[]>(
        "--api-key", "KEY", "only who sends it may ask; may be repeated, and who has one sees nothing of another's");

    private readonly Option<string[]> _corsOrigin = command.AddOption<string[]>(
        "--cors-origin", "URL", "web pages of this origin may ask, as https://example.com; * for all; may be repeated");

    private readonly Option<int> _maxBody = command.AddOption("--max-body", "N", "bytes of a request; more are refused", () => 8 << 20);

    private readonly Option<int> _maxRequestLine = command.AddOption(
        "--max-request-line", "N", "bytes of a request's method and path", () => DefaultServer.MaxRequestLine);

    private readonly Option<int> _maxHeaders = command.AddOption(
        "--max-headers", "N", "headers of a request", () => DefaultServer.MaxHeaders);

    private readonly Option<int> _maxHeaderBytes = command.AddOption(
        "--max-header-bytes", "N", "bytes of a request's headers", () => DefaultServer.MaxHeaderBytes);

    private readonly Option<int> _maxDepth = command.AddOption(
        "--max-depth", "N", "levels of a request's JSON, its object counted", () => DefaultServer.MaxDepth);

    private readonly Option<int> _maxStops = command.AddOption(
        "--max-stops", "N", "stop strings of a request; 0 for none", () => DefaultLimits.MaxStops);

    private readonly Option<int> _maxStopLength = command.AddOption(
        "--max-stop-length", "N", "characters of a stop string", () => DefaultLimits.MaxStopLength);

    private readonly Option<int> _maxLogProbs = command.AddOption(
        "--max-logprobs", "N", "likeliest tokens that logprobs may want of each token; 0 for none", () => DefaultLimits.MaxLogProbs);

    private readonly Option<int> _maxLogits = command.AddOption(
        "--max-logits", "N", "logits of a raw answer in RLLaMA's API; 0 for no such answers", () => DefaultLimits.MaxLogits);

    private readonly Option<int> _maxConnections = command.AddOption(
        "--max-connections", "N", "connections at once; up to N more are answered with 503, others closed; 0 for any number",
        () => DefaultServer.MaxConnections);

    private readonly Option<int> _headerTimeout = command.AddOption(
        "--header-timeout", "seconds", "that the headers of a request may take", () => Seconds(DefaultServer.HeaderTimeout));

    private readonly Option<int> _keepAlive = command.AddOption(
        "--keep-alive", "seconds", "that a connection without a request stays open", () => Seconds(DefaultServer.KeepAlive));

    private readonly Option<int> _minRate = command.AddOption(
        "--min-rate", "N", "bytes a second that a client must send or take, after 5 s; 0 for any", () => DefaultServer.MinRate);

    private readonly Option<int> _ssePingInterval = command.AddOption("--sse-ping-interval", "seconds",
        "of silence, until an event stream begins with comments, which keep proxies waiting", () => Seconds(DefaultServer.PingAfter));

    private readonly Option<int> _timeout = command.AddOption("--timeout", "seconds", "that a request may take", () => 600);
    private readonly Option<int> _grace = command.AddOption("--grace", "seconds", "for requests that run when the server ends", () => 10);

    private readonly Option<int> _jobAge = command.AddOption("--job-age", "seconds", "that a job is kept once it has ended", () => 3600);

    private readonly Option<int> _jobCharacters = command.AddOption(
        "--job-characters", "N", "characters of all jobs that have ended; the oldest are forgotten sooner; 0 for at once",
        () => DefaultServer.JobCharacters);

    private readonly Option<string?> _slotSavePath = command.AddOption<string?>(
        "--slot-save-path", "folder", "where /slots/ID?action=save puts files; without it slots are not saved");

    private readonly Option<string?> _template = command.AddTemplate();
    private readonly SpeculateOption _speculate = new(command);

    public static void AddTo(Command command)
    {
        ServeCommand serve = new(command);
        command.SetAction(result => serve.RunAsync(result).GetAwaiter().GetResult());
    }

    private async Task<int> RunAsync(ParseResult result)
    {
        Service service = new(new ServerOptions
        {
            Host = result.GetValue(_host)!,
            Port = Between(result, _port, 0, ushort.MaxValue),
            ApiKeys = Given(result, _apiKey),
            CorsOrigins = [.. Given(result, _corsOrigin).Select(origin => origin.TrimEnd('/'))],
            Timeout = TimeSpan.FromSeconds(Between(result, _timeout, 1, 1_000_000)),
            MaxBody = Between(result, _maxBody, 1, 1 << 30),
            MaxRequestLine = Between(result, _maxRequestLine, 1, 1 << 20), // Kestrel's buffer
            MaxHeaders = Between(result, _maxHeaders, 1, 1_000_000),
            MaxHeaderBytes = Between(result, _maxHeaderBytes, 1, 1 << 20),
            MaxConnections = Between(result, _maxConnections, 0, int.MaxValue),
            HeaderTimeout = TimeSpan.FromSeconds(Between(result, _headerTimeout, 1, 1_000_000)),
            KeepAlive = TimeSpan.FromSeconds(Between(result, _keepAlive, 1, 1_000_000)),
            MinRate = Between(result, _minRate, 0, int.MaxValue),
            PingAfter = TimeSpan.FromSeconds(Between(result, _ssePingInterval, 1, 1_000_000)),
            MaxDepth = Between(result, _maxDepth, 1, 1000),
            JobCharacters = Between(result, _jobCharacters, 0, int.MaxValue),
            JobAge = TimeSpan.FromSeconds(Between(result, _jobAge, 0, 1_000_000)),
            Grace = TimeSpan.FromSeconds(Between(result, _grace, 0, 1_000_000)),
        });
        RequestLimits limits = new()
        {
            MaxStops = Between(result, _maxStops, 0, int.MaxValue),
            MaxStopLength = Between(result, _maxStopLength, 1, int.MaxValue),
            MaxLogProbs = Between(result, _maxLogProbs, 0, int.MaxValue),
            MaxLogits = Between(result, _maxLogits, 0, int.MaxValue),
        };
        long cacheBytes = result.GetValue(_cacheBytes);
        UsageException.ThrowIf(cacheBytes < 0, $"--cache-bytes: expected 0 or more, found {cacheBytes}");
        string? slotFolder = result.GetValue(_slotSavePath);
        UsageException.ThrowIf(slotFolder is not null && !Directory.Exists(slotFolder),
            $"--slot-save-path {slotFolder}: there is no such folder");
        EngineOptions options = new()
        {
            Pods = Between(result, _pods, 1, 4096),
            MaxQueue = Between(result, _maxQueue, 0, 1_000_000),
            PromptRows = Between(result, _chunk, 1, 1_000_000),
            CacheBytes = cacheBytes,
            MaxFailures = Between(result, _maxFailures, 1, int.MaxValue),
        };

        using Interrupt interrupt = new();
        using LlamaServer server = new(service);
        await server.StartAsync();
        Notes.Write($"listening on {server.Url}");
        Task<LoadedModel> loading = Task.Run(() => _model.Load(result));
        using LoadedModel model = await loading.WaitAsync(interrupt.Token);
        FiniteWeights.CheckFirstLogits(model.Transformer, model.File, interrupt.Token);
        Speculation speculation = _speculate.For(result, model);
        await Task.Run(speculation.Prepare).WaitAsync(interrupt.Token);
        using GenerationEngine engine = new(model.Transformer, options with
        {
            Drafts = speculation.Policy,
            NewDrafters = speculation.NewDrafters,
        });
        service.SlotFiles = slotFolder is null ? null : new SlotFiles(new SessionStore(model), slotFolder);
        service.Begin(new ServedModel(model.Source.Name, model.Config, model.Tokenizer,
            model.Template(result.GetValue(_template)), model.CreateSampler,
            options.Pods + options.MaxQueue)
        {
            Facts = Facts(model),
            Limits = limits,
        }, engine);
        Notes.Write("ready");
        await Task.WhenAny(Task.Delay(Timeout.Infinite, interrupt.Token));

        Notes.Write("ending: requests that run have " + Notes.Count((int)service.Options.Grace.TotalSeconds, "second"));
        service.Stop();
        await Task.WhenAny(engine.Ended, Task.Delay(service.Options.Grace));
        engine.Dispose(); // what still runs is answered with an error
        await server.StopAsync();
        return ExitCode.Success;
    }

    private static ModelFacts Facts(LoadedModel model)
    {
        string file = model.Source.Resource is null ? model.Source.Path : Environment.ProcessPath!;
        return new(model.File.Length, File.GetLastWriteTimeUtc(file), model.File.Format, model.Weights.DescribeTypes(),
            model.Weights.Named().Sum(named => named.Tensor.Elements));
    }

    private static string[] Given(ParseResult result, Option<string[]> option)
    {
        string[] values = result.GetValue(option) ?? [];
        return values.Contains("") ? throw new UsageException($"{option.Name}: expected a value, found an empty one") : values;
    }

    private static int Seconds(TimeSpan time) => (int)time.TotalSeconds;

    private static int Between(ParseResult result, Option<int> option, int min, int max)
    {
        int value = result.GetValue(option);
        UsageException.ThrowIf(value < min || value > max, $"{option.Name}: expected {min} to {max}, found {value}");
        return value;
    }
}
