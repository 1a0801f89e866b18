using System.Runtime.CompilerServices;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// Runs mutants of the corpus, and keeps those that went where no run had gone. An input that kills the process kills the
/// worker; <see cref="Supervisor"/> then starts another.
/// </summary>
internal sealed class Worker(FuzzOptions options, FlightRecorder recorder)
{
    private const string SharpFuzzTrace = "SharpFuzz.Common.Trace, SharpFuzz.Common";
    private readonly Coverage _coverage = new();
    private readonly List<byte[]> _corpus = [[]];
    private volatile bool _ended;

    /// <summary>Fuzzes until standard input ends: the supervisor has closed it, or died.</summary>
    public unsafe void Run()
    {
        fixed (byte* trace = recorder.Trace)
            SharedMem(null) = trace;
        Console.CancelKeyPress += (_, e) => e.Cancel = true; // the supervisor gets it too
        Task.Run(() =>
        {
            Console.In.ReadToEnd();
            _ended = true;
            Thread.Sleep(TimeSpan.FromSeconds(5)); // an endless loop must not outlive the supervisor
            Environment.Exit(0);
        });
        IEnumerable<byte[]> inputs = FuzzOptions.Inputs(options.SeedFolder, options.CorpusFolder).Select(File.ReadAllBytes);
        foreach (byte[] data in inputs.Where(data => data.Length <= FlightRecorder.LongestInput))
            Try(data, isMutant: false);

        Random random = new(recorder.Now.RandomSeed);
        Mutator mutator = new(random, options.Words);
        while (!_ended)
        {
            int first = random.Next(3) == 0 ? Math.Max(0, _corpus.Count - 8) : 0; // prefer the newest
            byte[] parent = _corpus[random.Next(first, _corpus.Count)];
            for (int i = 0; i < 64; i++)
                Try(mutator.Mutate(parent, other: _corpus[random.Next(_corpus.Count)]), isMutant: true);
        }
    }

    private void Try(ReadOnlySpan<byte> data, bool isMutant)
    {
        if (Execute(data) is { } bug)
        {
            if (Finding.Report(bug, options, recorder) is { } path)
                File.WriteAllBytes(path, Minimiser.Shrink(data.ToArray(), d => Execute(d) == bug, tries: 2000));
        }
        else if (_coverage.Add(recorder.Trace) || !isMutant)
        {
            byte[] kept = data.ToArray(), trace = recorder.Trace.ToArray();
            if (isMutant)
            {
                kept = Minimiser.Shrink(kept, d => Execute(d) is null && recorder.Trace.SequenceEqual(trace), tries: 50);
                File.WriteAllBytes(Path.Combine(options.CorpusFolder, Finding.Hash(kept)), kept);
            }
            _corpus.Add(kept);
            (recorder.Now.CorpusInputs, recorder.Now.EdgesTaken) = (_corpus.Count, _coverage.Edges);
        }
    }

    /// <returns>The name of the bug, or null.</returns>
    private string? Execute(ReadOnlySpan<byte> data)
    {
        recorder.Now.Length = data.Length;
        data.CopyTo(recorder.Input);
        recorder.Trace.Clear();
        PrevLocation(null) = 0;
        recorder.Now.Executions++;
        recorder.Now.IsRunning = true;
        try
        {
            options.Target.Run(data);
            return null;
        }
        catch (Exception e)
        {
            return Finding.Name(Finding.Unhandled + e);
        }
        finally
        {
            recorder.Now.IsRunning = false;
            Coverage.Classify(recorder.Trace);
        }
    }

    // By name, since SharpFuzz does not instrument an assembly that refers to SharpFuzz.Common.
    [UnsafeAccessor(UnsafeAccessorKind.StaticField)]
    private static extern unsafe ref byte* SharedMem([UnsafeAccessorType(SharpFuzzTrace)] object? trace);

    [UnsafeAccessor(UnsafeAccessorKind.StaticField)]
    private static extern ref int PrevLocation([UnsafeAccessorType(SharpFuzzTrace)] object? trace);
}
