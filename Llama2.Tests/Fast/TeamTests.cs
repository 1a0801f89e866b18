using Llama2.Fast;

namespace Llama2.Tests.Fast;

public sealed class TeamTests
{
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
            team.Run(threads, chunks, (chunk, _) => counts[chunk]++);
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
                team.Run(2, 8, (_, thread) =>
                {
                    Thread.SpinWait(1000);
                    lock (seen)
                        seen.Add(thread);
                });
            }
            Assert.Equal(2, seen.Count);
        }
    }

    [Fact]
    public unsafe void Who_has_not_entered_gets_neither_threads_nor_memory()
    {
        Assert.Throws<SynchronizationLockException>(() => Team.Shared.Run(1, 1, (_, _) => { }));
        Assert.Throws<SynchronizationLockException>(() => (nint)Team.Shared.Scratch(0, 1));
    }

    [Fact]
    public void There_is_a_core_and_no_more_than_the_system_says() => Assert.InRange(Cores.Available, 1, Environment.ProcessorCount);
}
