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
}
