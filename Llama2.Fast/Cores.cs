using System.Globalization;

namespace Llama2.Fast;

/// <summary>How many threads are worth having.</summary>
internal static class Cores
{
    /// <summary>
    /// Physical cores that this process may use. Its affinity and its cgroup's quota count
    /// (<see cref="Environment.ProcessorCount"/> knows both); two threads of one core share its arithmetic, so they count
    /// as one where the system says which they are (Linux).
    /// </summary>
    public static int Available { get; } = Math.Clamp(Physical(), 1, Environment.ProcessorCount);

    private static int Physical()
    {
        try
        {
            string allowed = File.ReadLines("/proc/self/status").First(line => line.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal));
            return Numbers(allowed[(allowed.IndexOf(':', StringComparison.Ordinal) + 1)..])
                .Select(cpu => File.ReadAllText($"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
                .Distinct().Count();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException or FormatException)
        {
            return Environment.ProcessorCount;
        }
    }

    // "0-3,8" is 0, 1, 2, 3, 8
    private static IEnumerable<int> Numbers(string list) => list.Split(',').SelectMany(range =>
    {
        int[] ends = [.. range.Split('-').Select(end => int.Parse(end, CultureInfo.InvariantCulture))];
        return Enumerable.Range(ends[0], ends[^1] - ends[0] + 1);
    });
}
