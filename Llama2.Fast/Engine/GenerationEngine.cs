using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Fast.Engine;

/// <summary>
/// Runs a model for many callers: one thread drives a <see cref="Batch"/>, which requests join and leave between steps. A long prompt is
/// fed in chunks beside the answers of others. Requests begin in the order in which they came. All members are safe for concurrent use.
/// </summary>
/// <remarks>A request's tokens are those of a <see cref="Sequence"/> alone, whoever else asks, and whatever is in the caches.</remarks>
public sealed class GenerationEngine : IDisposable
{
    private readonly ITransformer _transformer;
    private readonly Thread _thread;
    private readonly object _gate = new(); // guards what follows
    private readonly PrefixCache _kept;
    private readonly LinkedList<Job> _queue = [];
    private readonly List<Job> _running = []; // in the order in which they came
    private readonly Job?[] _pods;
    private readonly LastText?[] _last; // that each pod ran
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private EngineStatistics _statistics = new();
    private volatile EngineClosedException? _refusal; // why no requests are taken any more
    private bool _isStopping;                         // those that are there end, too

    private readonly Batch _batch; // of the engine's thread, as is the number of failures
    private int _failures;

    private sealed record LastText(string Key, int[] Tokens, float Temperature, float TopP, ulong RandomState);

    /// <summary>Begins to run a model, which nobody else may run until the engine is disposed; the model is not disposed with it.</summary>
    public GenerationEngine(ITransformer transformer, EngineOptions? options = null)
    {
        Options = options ?? new();
        Options.Check();
        _transformer = Options.PromptRows is { } rows ? new BoundedTransformer(transformer, rows) : transformer;
        _kept = new PrefixCache(transformer.Config, Options.CacheBytes);
        _batch = new Batch(_transformer, Options.Drafts);
        _pods = new Job?[Options.Pods];
        _last = new LastText?[Options.Pods];
        _thread = new Thread(Run) { IsBackground = true, Name = "llama2 engine" };
        _thread.Start();
    }

    public Config Config => _transformer.Config;
    public EngineOptions Options { get; }

    /// <summary>Why no requests are taken any more; null while they are.</summary>
    public EngineClosedException? Refusal => _refusal;

    /// <summary>Ends when no request is left after <see cref="Close"/>.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Takes requests, all of them or none.</summary>
    /// <param name="requests">The texts to generate.</param>
    /// <param name="cancellation">Ends them, wherever they are, with the step that goes on.</param>
    /// <exception cref="QueueFullException">There is no room for all of them in the queue.</exception>
    /// <exception cref="EngineClosedException">The engine takes no requests any more.</exception>
    /// <exception cref="ContextFullException">A prompt has more tokens than the context.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A prompt is empty, or a token is none of the vocabulary.</exception>
    public IReadOnlyList<Generation> Submit(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation = default)
    {
        TextJob[] jobs = [.. requests.Select(request => new TextJob(Config, request, Options.NewDrafters, cancellation))];
        Enqueue(jobs);
        return [.. jobs.Select(job => new Generation(job))];
    }

    /// <summary>Takes one request.</summary>
    public Generation Submit(GenerationRequest request, CancellationToken cancellation = default) => Submit([request], cancellation)[0];

    /// <summary>The embeddings of texts, (dim,) each: the mean of the states of their tokens after the final norm, of length 1.</summary>
    /// <exception cref="RequestFailedException">It could not be computed; else as <see cref="Submit(IReadOnlyList{GenerationRequest},
    /// CancellationToken)"/>.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<float[][]> EmbedAsync(IReadOnlyList<IReadOnlyList<int>> texts, CancellationToken cancellation = default)
    {
        EmbeddingJob[] jobs = [.. texts.Select(tokens => new EmbeddingJob(Config, tokens, cancellation))];
        Enqueue(jobs);
        return await Task.WhenAll(jobs.Select(job => job.Result)).ConfigureAwait(false);
    }

    public EngineStatistics Statistics
    {
        get
        {
            lock (_gate)
            {
                return _statistics with
                {
                    Running = _running.Count,
                    Waiting = _queue.Count(job => !job.IsCancelled),
                    RunningTokens = _running.Sum(job => (long)job.FedTokens),
                };
            }
        }
    }

    /// <summary>The places for requests that run.</summary>
    public IReadOnlyList<Pod> Pods
    {
        get
        {
            lock (_gate)
            {
                return [.. _pods.Select((job, id) => job is null ? new Pod(id, false, false, 0, 0, 0)
                    : new Pod(id, true, job.IsPrefill, job.PromptTokens, job.FedTokens, job.SampledTokens))];
            }
        }
    }

    /// <summary>The text that a pod ran last, with its keys and values.</summary>
    /// <returns>Null where it ran none of this key, or the budget of the caches has no room for it any more.</returns>
    /// <exception cref="PodBusyException">It runs one now.</exception>
    public SavedSession? Save(int pod, string key)
    {
        lock (_gate)
        {
            if (Last(pod, key) is not { Tokens: var tokens } last)
                return null;
            (KvCache? cache, int common) = _kept.Find(key, tokens.AsSpan(..^1));
            return cache is null || common < tokens.Length - 1 ? null
                : new SavedSession(tokens, cache, last.Temperature, last.TopP, last.RandomState);
        }
    }

    /// <summary>
    /// Keeps the keys and values of a text, for prompts of this key that begin as it does, as if a pod had run it last.
    /// </summary>
    /// <returns>False where the budget of the caches has no room for it.</returns>
    /// <exception cref="PodBusyException">The pod runs another.</exception>
    public bool Restore(int pod, string key, SavedSession session)
    {
        lock (_gate)
        {
            Last(pod, key);
            if (!_kept.Add(key, session.Tokens[..^1], session.Cache))
                return false;
            _last[pod] = new(key, session.Tokens, session.Temperature, session.TopP, session.RandomState);
            CountKept();
            return true;
        }
    }

    /// <summary>Forgets the text that a pod ran last, and those that go on from it.</summary>
    /// <returns>How many tokens it has; 0 where the pod ran none of this key.</returns>
    /// <exception cref="PodBusyException">It runs one now.</exception>
    public int Erase(int pod, string key)
    {
        lock (_gate)
        {
            if (Last(pod, key) is not { } last)
                return 0;
            _kept.Remove(key, last.Tokens[..^1]);
            _last[pod] = null;
            CountKept();
            return last.Tokens.Length;
        }
    }

    private LastText? Last(int pod, string key) => _pods[pod] is not null ? throw new PodBusyException(pod)
        : _last[pod] is { } last && last.Key == key ? last : null;

    private void CountKept() => _statistics = _statistics with { KeptBytes = _kept.Bytes, KeptTokens = _kept.Tokens };

    /// <summary>Takes no requests any more; those that are there go on to their ends.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _refusal ??= new EngineClosedException("the engine is closing");
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Ends all requests and the thread.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _isStopping = true;
            Close();
        }
        _thread.Join();
    }

    private void Enqueue(Job[] jobs)
    {
        lock (_gate)
        {
            if (_refusal is not null)
                throw new EngineClosedException(_refusal.Message, _refusal.InnerException);
            int free = _pods.Length - _running.Count + Options.MaxQueue - _queue.Count(job => !job.IsCancelled);
            if (jobs.Length > free)
                throw new QueueFullException(Options.MaxQueue);
            foreach (Job job in jobs)
                _queue.AddLast(job);
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        try
        {
            while (Admit())
                Step();
        }
        catch (Exception e)
        {
            Break(e);
            Admit();
        }
        _ended.TrySetResult();
    }

    // Ends what was cancelled, fills free pods, and sleeps while there is nothing to do. False if the engine has ended.
    private bool Admit()
    {
        List<(Job Job, Exception? Error)> ended = [];
        bool goesOn;
        lock (_gate)
        {
            while (true)
            {
                foreach (Job job in _queue.Concat(_running).Where(job => _isStopping || job.IsCancelled).ToArray())
                {
                    _queue.Remove(job);
                    Leave(job, keep: !_isStopping);
                    ended.Add((job, job.IsCancelled ? null : _refusal));
                }
                while (_queue.First is { Value: Job first } && _running.Count < _pods.Length)
                {
                    _queue.RemoveFirst();
                    _running.Add(first);
                    _pods[Array.IndexOf(_pods, null)] = first;
                }
                goesOn = _running.Count > 0 || ended.Count > 0;
                if (goesOn || _refusal is not null)
                    break;
                Monitor.Wait(_gate);
            }
        }
        foreach ((Job job, Exception? error) in ended)
            job.End(error);
        return goesOn;
    }

    private void Step()
    {
        List<Job> jobs = Choose();
        long read = jobs.Sum(job => Math.Min(job.Unread, _transformer.PreferredRows));
        long sampled = -jobs.Sum(job => (long)job.SampledTokens);
        foreach (EmbeddingJob job in jobs.OfType<EmbeddingJob>().ToArray())
        {
            if (!Try(job, () => job.Feed(_transformer, _transformer.PreferredRows)))
                jobs.Remove(job);
        }
        try
        {
            if (_batch.Count > 0)
                _batch.Step();
            _failures = 0;
        }
        catch (Exception e)
        {
            Fail(jobs, e);
            return;
        }

        List<(Job Job, Exception? Error)> ended = [];
        foreach (Job job in jobs)
        {
            if (job.Advance(out Exception? error))
                ended.Add((job, error));
        }
        lock (_gate)
        {
            _statistics = _statistics with
            {
                Steps = _statistics.Steps + 1,
                BusyPods = _statistics.BusyPods + jobs.Count,
                PromptTokens = _statistics.PromptTokens + read,
                GeneratedTokens = _statistics.GeneratedTokens + sampled + jobs.Sum(job => (long)job.SampledTokens),
                DraftedTokens = Options.Drafts?.Drafted ?? 0,
                AcceptedTokens = Options.Drafts?.Accepted ?? 0,
            };
            foreach ((Job job, Exception? error) in ended)
                Leave(job, keep: error is null);
        }
        foreach ((Job job, Exception? error) in ended)
            job.End(error);
    }

    // The requests of the next step: all answers, and the prompts that came first, within the rows of a step.
    private List<Job> Choose()
    {
        List<Job> chosen = [];
        int room = _transformer.PreferredRows;
        foreach (Job job in _running.ToArray())
        {
            if (!job.IsBegun && (room == 0 || !Try(job, () => Begin(job))))
                continue;
            int rows = Math.Min(job.Unread, _transformer.PreferredRows);
            bool fits = rows <= room;
            room = fits ? room - rows : 0; // who came later does not overtake
            if (job is TextJob text)
                SetInBatch(text, fits);
            if (fits)
                chosen.Add(job);
        }
        return chosen;
    }

    // Begins with the longest beginning that any cache of the same key has, also of requests that run.
    private void Begin(Job job)
    {
        KvCache? cache = null;
        int common = 0;
        if (Options.CacheBytes > 0 && job is TextJob { NeedsWholePrompt: false, CacheKey: { } key } text)
        {
            lock (_gate)
                (cache, common) = _kept.Find(key, text.Prompt);
            foreach (TextJob other in _running.OfType<TextJob>().Where(other => other.IsBegun && other.CacheKey == key))
            {
                int shared = text.Prompt.AsSpan().CommonPrefixLength(other.Sequence.Tokens[..other.Sequence.Fed]);
                if (shared > common)
                    (cache, common) = (other.Sequence.Cache, shared);
            }
        }
        job.Begin(cache, common);
        lock (_gate)
            _statistics = _statistics with { CachedTokens = _statistics.CachedTokens + job.CachedTokens };
    }

    // Whether something succeeds that is a request's alone; there may be no memory for it, say.
    private bool Try(Job job, Action action)
    {
        try
        {
            action();
            return true;
        }
        catch (Exception e)
        {
            Fail([job], e);
            return false;
        }
    }

    private void SetInBatch(TextJob job, bool isIn)
    {
        if (isIn && !job.IsInBatch)
            _batch.Add(job.Sequence);
        else if (!isIn && job.IsInBatch)
            _batch.Remove(job.Sequence);
        job.IsInBatch = isIn;
    }

    // Ends requests whose step threw. The next step may succeed; if several fail, none will.
    private void Fail(List<Job> jobs, Exception e)
    {
        lock (_gate)
        {
            foreach (Job job in jobs)
                Leave(job, keep: false);
            if (e is OutOfMemoryException)
                _kept.Clear();
        }
        foreach (Job job in jobs)
            job.End(new RequestFailedException(e));
        if (++_failures >= Options.MaxFailures)
            Break(e);
    }

    private void Break(Exception e)
    {
        lock (_gate)
        {
            _refusal = new EngineClosedException("the engine is broken: " + e.Message, e);
            _isStopping = true;
        }
    }

    // Frees the pod of a request, if it has one, and keeps what others may begin with.
    private void Leave(Job job, bool keep)
    {
        if (!_running.Remove(job))
            return;
        int pod = Array.IndexOf(_pods, job);
        _pods[pod] = null;
        if (job is TextJob { IsBegun: true } text)
        {
            SetInBatch(text, isIn: false);
            _last[pod] = null;
            if (keep && text.CacheKey is { } key)
                Keep(key, text.Sequence, pod);
        }
        _statistics = _statistics with
        {
            PromptTime = _statistics.PromptTime + job.Prefill,
            GenerationTime = _statistics.GenerationTime + job.Decode,
        };
        CountKept();
    }

    private void Keep(string key, Sequence sequence, int pod)
    {
        _kept.Add(key, [.. sequence.Tokens[..sequence.Fed]], sequence.Cache);
        int[] tokens = [.. sequence.Tokens[..Math.Min(sequence.Tokens.Length, sequence.Fed + 1)]];
        _last[pod] = new(key, tokens, sequence.Sampler.Temperature, sequence.Sampler.TopP, sequence.Sampler.RandomState);
    }
}
