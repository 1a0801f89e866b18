using System.Diagnostics;

namespace Llama2.Fast;

/// <summary>
/// The threads that share the work of a transformer. A region's work is cut in chunks, which the threads claim one by
/// one; a region ends when all chunks are done, not when all threads have come. So a thread that the operating system
/// has put aside is missed only if it holds a chunk. Which thread does what never changes a result.
/// </summary>
internal sealed class Team
{
    // How long an idle thread looks for work before it sleeps: longer than what lies between two regions of a token, and
    // short enough not to disturb others.
    private static readonly long SpinTicks = Stopwatch.Frequency / 20_000; // 50 microseconds

    private static readonly Lock Creation = new();
    private static Team? _shared;

    private readonly Lock _caller = new();
    private readonly object _bed = new(); // where idle threads sleep
    private readonly List<Thread> _threads = [];
    private readonly List<NativeBuffer<float>> _scratch = [new()];
    private Action<int, int> _work = static (_, _) => { };
    private int _limit; // threads wanted in the present region; a late one may come all the same
    private PaddedInt _unclaimed, _unfinished, _asleep;

    private Team()
    {
    }

    /// <summary>The one team of this process.</summary>
    public static Team Shared
    {
        get
        {
            lock (Creation)
                return _shared ??= new Team();
        }
    }

    /// <summary>Held by who runs regions; others wait, since more threads than cores help nobody.</summary>
    public Lock.Scope Enter() => _caller.EnterScope();

    /// <summary>
    /// Calls work(chunk, thread) once for every chunk below <paramref name="chunks"/>, on at most <paramref name="threads"/>
    /// threads including this one, which is thread 0. What was written before is seen by the work, and what the work wrote is seen after.
    /// </summary>
    /// <exception cref="SynchronizationLockException">The caller has not entered.</exception>
    public void Run(int threads, int chunks, Action<int, int> work)
    {
        RequireEntered();
        if (threads == 1 || chunks == 1)
        {
            for (int chunk = 0; chunk < chunks; chunk++)
                work(chunk, 0);
            return;
        }
        while (_threads.Count < threads - 1)
            Hire();

        _work = work;
        _limit = threads;
        _unfinished.Value = chunks;
        Interlocked.Exchange(ref _unclaimed.Value, chunks); // a full fence: either a thread sees the work or we see it asleep
        if (Volatile.Read(ref _asleep.Value) > 0)
        {
            lock (_bed)
                Monitor.PulseAll(_bed);
        }
        TakePart(0);
        for (int spins = 0; Volatile.Read(ref _unfinished.Value) > 0; spins++)
            Pause(spins);
    }

    /// <summary>Working memory of a thread, at least <paramref name="count"/> floats; to be called by that thread, from its work.</summary>
    /// <exception cref="SynchronizationLockException">Thread 0 has not entered.</exception>
    public unsafe float* Scratch(int thread, int count)
    {
        if (thread == 0)
            RequireEntered();
        return _scratch[thread].EnsureCount(count);
    }

    // Two callers at once would write over one another's work without a sign of it.
    private void RequireEntered()
    {
        if (!_caller.IsHeldByCurrentThread)
            throw new SynchronizationLockException("the team has not been entered");
    }

    private void Hire()
    {
        int index = _threads.Count + 1;
        Thread thread = new(() => Serve(index)) { IsBackground = true, Name = $"llama2 {index}" };
        _threads.Add(thread);
        _scratch.Add(new NativeBuffer<float>());
        thread.Start();
    }

    private void Serve(int index)
    {
        while (true)
        {
            long start = Stopwatch.GetTimestamp();
            for (int spins = 0; !HasWork(index); spins++)
            {
                if (Stopwatch.GetTimestamp() - start > SpinTicks)
                {
                    Sleep(index);
                    start = Stopwatch.GetTimestamp();
                }
                Pause(spins);
            }
            TakePart(index);
        }
    }

    private void Sleep(int index)
    {
        lock (_bed)
        {
            Interlocked.Increment(ref _asleep.Value);
            if (!HasWork(index))
                Monitor.Wait(_bed);
            Interlocked.Decrement(ref _asleep.Value);
        }
    }

    private bool HasWork(int index) => Volatile.Read(ref _unclaimed.Value) > 0 && index < _limit;

    // A chunk that is claimed belongs to the present region, and that cannot end before its chunks have.
    private void TakePart(int index)
    {
        int done = 0;
        for (int left; (left = Interlocked.Decrement(ref _unclaimed.Value)) >= 0; done++)
            _work(left, index);
        if (done > 0)
            Interlocked.Add(ref _unfinished.Value, -done);
    }

    private static void Pause(int spins)
    {
        if (spins % 32 == 31)
            Thread.Yield(); // to whom else wants this core
        else
            Thread.SpinWait(1);
    }
}
