using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace Llama2.Fast.Threads;

/// <summary>
/// The threads that share the work of a transformer. A region's work is cut in chunks, which the threads claim one by one; a region ends
/// when all chunks are done, not when all threads have come. So a thread that the operating system has put aside is missed only if it holds
/// a chunk. Which thread does what never changes a result.
/// </summary>
/// <remarks>
/// Memory order, also where the processor reorders (Arm): the caller writes the region, the limit and the number of chunks, and then
/// <c>_unclaimed</c> by an interlocked exchange, which releases them. A thread claims a chunk by an interlocked decrement of
/// <c>_unclaimed</c>, which acquires them, and reads the region only then; as the region cannot end before that chunk is done, these
/// cannot change meanwhile. A thread subtracts its chunks from <c>_unfinished</c>, which releases what it wrote; the caller's volatile
/// read of 0 acquires it. <c>_asleep</c> and <c>_unclaimed</c> are each written by a full fence before the other is read, so that
/// either the caller sees a sleeper or the sleeper sees the work. A thread that reads an old <c>_limit</c> comes once too often or too
/// seldom, which is allowed. A thread that comes late, for a region that has ended, finds <c>_unclaimed</c> below 1 and reads nothing
/// else, or claims a chunk of the next region, whose exchange it has then acquired.
/// On Arm an interlocked operation is one instruction that acquires and releases (swpal, ldaddal), which the architecture orders before
/// all that follows, or without these a loop and a dmb. A volatile read alone (ldapr) may overtake an earlier volatile write, so that
/// Sleep and Run must not use such writes. Emulation of Arm on x86-64 keeps the order of x86-64 and cannot show any of this.
/// </remarks>
internal sealed class Team
{
    // How long an idle thread spins before it sleeps: longer than the gap between two regions of a token, and
    // short enough not to disturb other programs.
    private static readonly long SpinTicks = Stopwatch.Frequency / 20_000; // 50 microseconds

    private const int SpinsPerYield = 32;

    private static readonly Lock Creation = new();
    private static Team? _shared;

    private readonly Lock _caller = new();
    private readonly object _wakeUp = new(); // idle threads sleep on it
    private readonly List<Thread> _threads = [];
    private readonly List<NativeBuffer<float>> _scratch = [new()];
    private Region? _region;
    private Exception? _failure; // the first of the present region
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

    /// <summary>To be held by the caller of <see cref="Run"/>; others wait, since more threads than cores help nobody.</summary>
    public Lock.Scope Enter() => _caller.EnterScope();

    /// <summary>
    /// Does every chunk of a region once, on as many threads as it wants, this one included, which is thread 0. The chunks see all that was
    /// written before, and the caller sees all that they wrote. If a chunk throws, the chunks not yet begun are left out, and when the
    /// others have ended, its exception, or the first of several, is thrown here.
    /// </summary>
    /// <exception cref="SynchronizationLockException">The caller has not entered.</exception>
    public void Run(Region region)
    {
        if (!_caller.IsHeldByCurrentThread)
            ThrowNotEntered(); // two callers at once would overwrite each other's work unnoticed
        int chunks = region.Chunks;
        if (region.Threads == 1 || chunks <= 1)
        {
            for (int chunk = 0; chunk < chunks; chunk++)
                region.Chunk(chunk, 0);
            return;
        }
        while (_threads.Count < region.Threads - 1)
            StartThread();

        _region = region;
        _limit = region.Threads;
        _unfinished.Value = chunks;
        Interlocked.Exchange(ref _unclaimed.Value, chunks);
        if (Volatile.Read(ref _asleep.Value) > 0)
        {
            lock (_wakeUp)
                Monitor.PulseAll(_wakeUp);
        }
        TakePart(0);
        for (int spins = 0; Volatile.Read(ref _unfinished.Value) > 0; spins++)
            Pause(spins);
        _region = null;
        if (Interlocked.Exchange(ref _failure, null) is { } failure)
            ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>Working memory of a thread, for its chunks alone.</summary>
    public NativeBuffer<float> Scratch(int thread) => _scratch[thread];

    [DoesNotReturn]
    private static void ThrowNotEntered() => throw new SynchronizationLockException("the team has not been entered");

    private void StartThread()
    {
        int index = _threads.Count + 1;
        Thread thread = new(() => Serve(index)) { IsBackground = true, Name = $"llama2 {index}" };
        if (_scratch.Count == index)
            _scratch.Add(new NativeBuffer<float>());
        thread.UnsafeStart(); // without the async-local values of this caller, since others follow
        _threads.Add(thread); // not if there is no memory for it
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
        lock (_wakeUp)
        {
            Interlocked.Increment(ref _asleep.Value);
            if (!HasWork(index))
                Monitor.Wait(_wakeUp);
            Interlocked.Decrement(ref _asleep.Value);
        }
    }

    private bool HasWork(int index) => Volatile.Read(ref _unclaimed.Value) > 0 && index < _limit;

    private void TakePart(int index)
    {
        int done = 0;
        for (int left; (left = Interlocked.Decrement(ref _unclaimed.Value)) >= 0; done++)
        {
            try
            {
                if (Volatile.Read(ref _failure) is null)
                    _region!.Chunk(left, index);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref _failure, e, null);
            }
        }
        if (done > 0)
            Interlocked.Add(ref _unfinished.Value, -done);
    }

    private static void Pause(int spins)
    {
        if (spins % SpinsPerYield == SpinsPerYield - 1)
            Thread.Yield(); // another program may want this core
        else
            Thread.SpinWait(1);
    }
}
