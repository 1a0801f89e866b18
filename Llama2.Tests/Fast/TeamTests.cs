using Llama2.Fast.Threads;

namespace Llama2.Tests.Fast;

public sealed class TeamTests
{
    /// <summary>Calls an action with each chunk and its thread.</summary>
    private sealed class Work : Region
    {
        private readonly Action<int, int> _chunk;

        public Work(int threads, int chunks, Action<int, int> chunk)
        {
            (Threads, Chunks, _chunk) = (threads, chunks, chunk);
        }

        public override void Chunk(int chunk, int thread) => _chunk(chunk, thread);
    }

    [Fact]
    public void Every_chunk_is_done_once_and_all_are_done_at_the_end()
    {
        Team team = Team.Shared;
        int[] counts = new int[37];
        for (int region = 1; region <= 20_000; region++)
        {
            int threads = 1 + region % 5, chunks = 1 + region % counts.Length;
            using Lock.Scope scope = team.Enter();
            Array.Clear(counts);
            team.Run(new Work(threads, chunks, (chunk, _) => Interlocked.Increment(ref counts[chunk])));
            for (int chunk = 0; chunk < counts.Length; chunk++)
                Assert.Equal(chunk < chunks ? 1 : 0, counts[chunk]);
        }
    }

    [Fact]
    public void Threads_that_sleep_wake_up()
    {
        Team team = Team.Shared;
        for (int i = 0; i < 20; i++)
        {
            Thread.Sleep(5); // far beyond the time a thread looks for work
            using Lock.Scope scope = team.Enter();
            HashSet<int> seen = [];
            for (int attempt = 0; attempt < 10_000 && seen.Count < 2; attempt++)
            {
                team.Run(new Work(2, 8, (_, thread) =>
                {
                    Thread.SpinWait(1000);
                    lock (seen)
                        seen.Add(thread);
                }));
            }
            Assert.Equal(2, seen.Count);
        }
    }

    [Fact]
    public void An_exception_on_any_thread_reaches_the_caller_and_the_team_is_as_new()
    {
        const int Threads = 3, Chunks = 12;
        Team team = Team.Shared;
        using Lock.Scope scope = team.Enter();
        for (int culprit = 0; culprit < Threads; culprit++)
        {
            for (int attempt = 0; attempt < 50; attempt++)
            {
                using Barrier all = new(Threads);
                int running = 0, present = 0;
                Work region = new(Threads, Chunks, (chunk, thread) =>
                {
                    Interlocked.Increment(ref running);
                    if (Interlocked.Increment(ref present) <= Threads)
                        all.SignalAndWait(); // each thread has a chunk
                    try
                    {
                        if (thread == culprit || thread >= Threads) // a late one of another region takes the culprit's place
                            throw new InvalidOperationException($"thread {culprit}");
                        Thread.SpinWait(1000);
                    }
                    finally
                    {
                        Interlocked.Decrement(ref running);
                    }
                });
                Assert.Equal($"thread {culprit}", Assert.Throws<InvalidOperationException>(() => team.Run(region)).Message);
                Assert.Equal(0, running); // the region has ended on all threads

                int done = 0;
                team.Run(new Work(Threads, Chunks, (_, _) => Interlocked.Increment(ref done)));
                Assert.Equal(Chunks, done);
            }
        }
    }

    [Fact]
    public void Of_several_exceptions_one_is_thrown_and_no_chunk_is_begun_after_it()
    {
        Team team = Team.Shared;
        using Lock.Scope scope = team.Enter();
        foreach (int threads in (int[])[1, 2, 5])
        {
            int begun = 0;
            Work region = new(threads, 1000, (_, _) =>
            {
                Interlocked.Increment(ref begun);
                throw new InvalidOperationException();
            });
            Assert.Throws<InvalidOperationException>(() => team.Run(region));
            Assert.InRange(begun, 1, threads);
        }
    }

    [Fact]
    public void A_caller_that_has_not_entered_gets_no_threads() =>
        Assert.Throws<SynchronizationLockException>(() => Team.Shared.Run(new Work(1, 1, (_, _) => { })));

    [Fact]
    public void There_is_a_core_and_no_more_than_the_system_says() => Assert.InRange(Cores.Available, 1, Environment.ProcessorCount);

    [Fact]
    public void Threads_of_one_core_count_as_one() =>
        Assert.Equal(3, Cores.Count("0-3,8", cpu => cpu < 4 ? $"{cpu & ~1}-{cpu | 1}" : $"{cpu}"));

    [Fact]
    public void A_file_of_sys_which_is_shorter_than_its_size_is_read()
    {
        string file = Cores.Siblings(0);
        Assert.SkipUnless(File.Exists(file), "this system has no " + file);
        Assert.Equal(File.ReadAllText(file), Cores.Read(file));
        Assert.NotEmpty(Cores.Read(file));
    }
}
