using System.Text;
using Llama2.Fast.Engine;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>A text that is generated while nobody waits for it, after llama.go's API.</summary>
/// <param name="id">The client's choice.</param>
/// <param name="name">The same as the client wrote it.</param>
/// <param name="prompt">The text to go on from.</param>
internal sealed class Job(Guid id, string name, string prompt) : CountedWork, IDisposable
{
    public const string Queued = "queued", Processing = "processing", Finished = "finished", Stopped = "stopped", Failed = "failed";

    private readonly CancellationTokenSource _cancel = new();
    private readonly DateTimeOffset _created = DateTimeOffset.UtcNow;
    private readonly Lock _gate = new(); // guards what follows
    private readonly StringBuilder _output = new();
    private string? _end;                // the status that it ended with
    private string? _error;
    private DateTimeOffset? _started, _ended;
    private bool _isStopped;

    public override string Id => $"{id}";

    public override string Status
    {
        get
        {
            lock (_gate)
                return _end ?? (Started is null ? Queued : Processing);
        }
    }

    private DateTimeOffset? Started => Answers?.Generations[0] is not { } generation ? _started
        : generation.Prefill > TimeSpan.Zero ? _created + generation.Queued : null;

    /// <summary>Puts it into the engine's queue.</summary>
    /// <param name="timeout">That it may take.</param>
    /// <exception cref="QueueFullException">There is no room in the queue.</exception>
    /// <exception cref="EngineClosedException">The engine takes no requests any more.</exception>
    public void Submit(GenerationEngine engine, TextRequest request, TimeSpan timeout)
    {
        Answers = new Answers(engine, request, _cancel.Token);
        _cancel.CancelAfter(timeout);
    }

    /// <summary>Collects its text until it has ended, and counts it; throws nothing.</summary>
    public async Task RunAsync(Service service)
    {
        TextEnd? end = null;
        ApiException? error = null;
        try
        {
            await foreach (Piece piece in Answers!.Pieces.ReadAllAsync())
            {
                lock (_gate)
                    _output.Append(piece.Text);
                end = piece.End;
            }
        }
        catch (Exception e)
        {
            error = service.ErrorOf(this, e);
        }
        lock (_gate)
        {
            error ??= end is null && !_isStopped ? service.TimedOut : null;
            (_end, _error) = (error is not null ? Failed : end is null ? Stopped : Finished, error?.Message);
            (_started, _ended) = (Started, DateTimeOffset.UtcNow);
        }
        Failure = error?.Reason;
        service.Count(this);
        lock (_gate)
            Answers = null; // with the sampler and the KV cache
    }

    /// <summary>Ends it with the engine's step that goes on, wherever it is; a job that has ended stays what it is.</summary>
    /// <returns>The status that it has then.</returns>
    public string Stop()
    {
        lock (_gate)
        {
            if (_end is not null)
                return _end;
            _isStopped = true;
            _cancel.Cancel();
            return Stopped;
        }
    }

    /// <summary>For a job that has ended; what is known of it stays.</summary>
    public void Dispose() => _cancel.Dispose();

    /// <summary>All that is known of it now.</summary>
    public JobAnswer Describe(string model)
    {
        lock (_gate)
        {
            return new JobAnswer(name, Status)
            {
                Prompt = prompt,
                Output = $"{_output}".Trim('\n', ' '),
                Created = _created.ToUnixTimeSeconds(),
                Started = Started?.ToUnixTimeSeconds() ?? 0,
                Finished = _ended?.ToUnixTimeSeconds() ?? 0,
                Model = model,
                Error = _error,
            };
        }
    }

    /// <summary>Characters that it keeps, with some for what is around them.</summary>
    public int Size
    {
        get
        {
            lock (_gate)
                return prompt.Length + _output.Length + 1000;
        }
    }
}

/// <summary>What /jobs says of a job; 0 is a time that has not come.</summary>
internal sealed record JobAnswer(string Id, string Status)
{
    public string? Prompt { get; init; }
    public string? Output { get; init; }
    public long? Created { get; init; } // seconds since 1970
    public long? Started { get; init; }
    public long? Finished { get; init; }
    public string? Model { get; init; }
    public string? Error { get; init; } // why it failed
}
