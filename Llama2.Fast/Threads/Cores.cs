using System.Globalization;
using System.Text;

namespace Llama2.Fast.Threads;

/// <summary>The number of threads that is worth having.</summary>
internal static class Cores
{
    /// <summary>
    /// Physical cores that this process may use. Its affinity and its cgroup's quota count (<see cref="Environment.ProcessorCount"/> knows
    /// both); two threads of one core share its arithmetic, so they count as one where the system says which they are (Linux).
    /// </summary>
    public static int Available { get; } = Math.Clamp(Physical(), 1, Environment.ProcessorCount);

    // Loops and bytes, since this runs at every start: LINQ over numbers and readers of text take milliseconds to be compiled.
    private static int Physical()
    {
        const string Name = "Cpus_allowed_list:";
        try
        {
            string status = Read("/proc/self/status");
            int start = status.IndexOf(Name, StringComparison.Ordinal) + Name.Length;
            HashSet<string> cores = [];
            foreach (string range in status[start..status.IndexOf('\n', start)].Split(',')) // "0-3,8" is 0, 1, 2, 3, 8
            {
                string[] ends = range.Split('-');
                int last = int.Parse(ends[^1], CultureInfo.InvariantCulture);
                for (int cpu = int.Parse(ends[0], CultureInfo.InvariantCulture); cpu <= last; cpu++)
                    cores.Add(Read($"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
            }
            return cores.Count;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or FormatException)
        {
            return Environment.ProcessorCount;
        }
    }

    private static string Read(string file) => Encoding.ASCII.GetString(File.ReadAllBytes(file));
}
