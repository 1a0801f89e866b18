using System.Globalization;
using System.Text;

namespace Llama2.Fast.Threads;

/// <summary>The number of threads that is worth having.</summary>
internal static class Cores
{
    private const int MaxBytes = 1 << 14; // of a file of /proc or /sys that is read

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
            return Count(status[start..status.IndexOf('\n', start)], cpu => Read(Siblings(cpu)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or FormatException)
        {
            return Environment.ProcessorCount;
        }
    }

    /// <summary>The cores of some CPUs.</summary>
    /// <param name="cpus">As Linux lists them: "0-3,8" is 0, 1, 2, 3, 8.</param>
    /// <param name="siblings">Names the CPUs of one's core.</param>
    public static int Count(string cpus, Func<int, string> siblings)
    {
        HashSet<string> cores = [];
        foreach (string range in cpus.Split(','))
        {
            string[] ends = range.Split('-');
            int last = int.Parse(ends[^1], CultureInfo.InvariantCulture);
            for (int cpu = int.Parse(ends[0], CultureInfo.InvariantCulture); cpu <= last; cpu++)
                cores.Add(siblings(cpu));
        }
        return cores.Count;
    }

    /// <summary>The file that names the CPUs of a CPU's core.</summary>
    public static string Siblings(int cpu) => $"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list";

    /// <summary>
    /// A small file of /proc or /sys. <see cref="File.ReadAllBytes"/> throws where a file is shorter than its size, as those of /sys are.
    /// </summary>
    public static string Read(string file)
    {
        using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        byte[] bytes = new byte[MaxBytes];
        return Encoding.ASCII.GetString(bytes, 0, stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false));
    }
}
