using Llama2.Fast.Threads;

namespace Llama2.Tests.Fast;

internal static class Allocations
{
    /// <summary>
    /// Bytes that this thread allocates in some work, once it is compiled. A collection that another test brings about counts the rest of
    /// this thread's block of 8 KB as well, so it is the minimum of some attempts.
    /// </summary>
    public static long Of(Action work)
    {
        long min = long.MaxValue;
        for (int attempt = 0; attempt < 6; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            work();
            min = Math.Min(min, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return min;
    }

    /// <summary>Bytes that each of the first threads of the team has allocated so far, the caller's first.</summary>
    public static long[] OfTeam(int threads)
    {
        long[] bytes = [.. Enumerable.Repeat(-1L, threads)];
        for (int attempt = 0; attempt < 100_000 && bytes.Contains(-1); attempt++)
        {
            using Lock.Scope scope = Team.Shared.Enter();
            Team.Shared.Run(new Question(bytes));
        }
        Assert.DoesNotContain(-1, bytes);
        return bytes;
    }

    private sealed class Question : Region
    {
        private readonly long[] _bytes;

        public Question(long[] bytes) => (_bytes, Threads, Chunks) = (bytes, bytes.Length, 4 * bytes.Length);

        public override void Chunk(int chunk, int thread)
        {
            _bytes[thread] = GC.GetAllocatedBytesForCurrentThread();
            Thread.SpinWait(1000); // so that each thread gets a chunk
        }
    }
}
