using System.Diagnostics;
using System.Security.Cryptography;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// Fuzzes one target for some time: takes an input from the corpus, mutates it, runs it, and keeps it if it went where no
/// run has gone. A bug that kills the process kills the worker; <see cref="Supervisor"/> then starts another.
/// </summary>
internal sealed class Worker : IDisposable
{
    public const int TimedOut = 3; // exit code
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Deadlock = TimeSpan.FromSeconds(20);

    private readonly FuzzOptions _options;
    private readonly EdgeMap _edges = new();
    private readonly InstrumentedContext _context;
    private readonly TargetAction _run;
    private readonly FlightRecorder _recorder;
    private readonly Corpus _corpus;
    private readonly Mutator _mutator;
    private readonly Stopwatch _clock = new();
    private readonly long _executionsBefore; // by workers that died
    private readonly Thread _watcher;
    private volatile bool _running, _ended;

    public Worker(FuzzOptions options)
    {
        _options = options;
        _context = new InstrumentedContext(_edges);
        _run = _context.Load(options.Target);
        _recorder = new FlightRecorder(options.RecorderPath, FuzzOptions.MaxLength);
        _executionsBefore = _recorder.Executions;
        Random random = new(options.RandomSeed);
        _corpus = new Corpus(random);
        _mutator = new Mutator(random, options.Target.Words?.Invoke() ?? [], FuzzOptions.MaxLength);
        _watcher = new Thread(WatchTime) { IsBackground = true };
    }

    /// <summary>Fuzzes until the time is over.</summary>
    public void Run()
    {
        _clock.Start();
        _watcher.Start();
        foreach (byte[] data in Corpus.Read(_options.SeedFolder, _options.CorpusFolder).Where(d => d.Length <= FuzzOptions.MaxLength))
            Try(data, keepAlways: true);
        if (_corpus.Count == 0)
            Try([], keepAlways: true);

        TimeSpan nextReport = TimeSpan.FromSeconds(60);
        while (_clock.Elapsed < _options.Time && _recorder.Executions < _options.Executions)
        {
            byte[] parent = _corpus.Pick();
            for (int i = 0; i < 64; i++)
                Try(_mutator.Mutate(parent, _corpus.PickAny()), keepAlways: false);
            if (_clock.Elapsed > nextReport)
            {
                Report();
                nextReport += TimeSpan.FromSeconds(60);
            }
        }
        Report();
    }

    private void Report() => Console.WriteLine(
        $"{_options.Target.Name}: {_recorder.Executions:n0} executions, {(_recorder.Executions - _executionsBefore) / _clock.Elapsed.TotalSeconds:n0}/s, corpus {_corpus.Count}, "
        + $"edges {_edges.Covered} ({_context.Coverage()}), findings {_recorder.Findings}");

    private void Try(ReadOnlySpan<byte> data, bool keepAlways)
    {
        Exception? failure = Execute(data);
        if (failure is not null)
        {
            SaveFinding(failure, data);
            return;
        }
        List<int> novelties = [];
        if (!_edges.TakeNovelties(novelties) && !keepAlways)
            return;
        byte[] kept = data.ToArray();
        if (!keepAlways)
        {
            ulong fingerprint = _edges.Fingerprint();
            kept = Minimiser.Shrink(kept, d => Execute(d) is null && _edges.Fingerprint() == fingerprint, tries: 50);
            Finding.Save(_options.CorpusFolder, Convert.ToHexStringLower(SHA256.HashData(kept))[..16], kept);
        }
        _corpus.Add(kept, novelties.Count);
    }

    private Exception? Execute(ReadOnlySpan<byte> data)
    {
        _recorder.Begin(data);
        _edges.Clear();
        _running = true;
        try
        {
            _run(data);
            return null;
        }
        catch (Exception e)
        {
            return e;
        }
        finally
        {
            _running = false;
        }
    }

    private void SaveFinding(Exception failure, ReadOnlySpan<byte> data)
    {
        string name = Finding.Name(failure);
        if (!Finding.Save(_options.FindingsFolder, name, data))
            return;
        byte[] small = Minimiser.Shrink(data.ToArray(), d => Execute(d) is { } e && Finding.Name(e) == name, tries: 2000);
        File.WriteAllBytes(Path.Combine(_options.FindingsFolder, name), small);
        _recorder.Findings++;
        Console.WriteLine($"{_options.Target.Name}: found {name} ({small.Length} bytes): {failure.GetType().Name}: {failure.Message}");
    }

    /// <summary>
    /// Ends the process where one run has used a second of processor time (a machine busy with something else is no
    /// finding), or has slept for much longer.
    /// </summary>
    private void WatchTime()
    {
        long seen = -1;
        TimeSpan processor = default, wall = default;
        while (!_ended)
        {
            Thread.Sleep(50);
            long now = _recorder.Executions;
            if (!_running || now != seen)
            {
                (seen, processor, wall) = (now, Environment.CpuUsage.TotalTime, _clock.Elapsed);
                continue;
            }
            if (Environment.CpuUsage.TotalTime - processor < Timeout && _clock.Elapsed - wall < Deadlock)
                continue;
            string name = Finding.TimeoutName(_edges.Fingerprint(oftenness: false));
            if (Finding.Save(_options.FindingsFolder, name, _recorder.Input))
            {
                _recorder.Findings++;
                Console.WriteLine($"{_options.Target.Name}: found {name}: more than a second");
            }
            Environment.Exit(TimedOut);
        }
    }
    public void Dispose()
    {
        _ended = true;
        _watcher.Join();
        _recorder.Dispose();
    }
}
