namespace Llama2.Fuzz.Engine;

/// <summary>Runs inputs again, on the code as it was built: stack traces then have line numbers.</summary>
internal static class Replay
{
    /// <summary>Runs files, or all files of folders.</summary>
    /// <returns>Whether all went well.</returns>
    public static bool Run(Target target, IEnumerable<string> paths)
    {
        bool good = true;
        foreach (string path in paths.SelectMany(p => Directory.Exists(p) ? FuzzOptions.Inputs(p) : [p]))
        {
            try
            {
                target.Run(File.ReadAllBytes(path));
                Console.WriteLine($"ok      {path}");
            }
            catch (Exception e)
            {
                good = false;
                Console.Error.WriteLine($"FAILED  {path}\n{e}");
            }
        }
        return good;
    }

    /// <summary>Writes to FILE.min the smallest input found that fails just as FILE does.</summary>
    /// <returns>Whether FILE failed at all.</returns>
    public static bool Minimise(Target target, string path)
    {
        byte[] data = File.ReadAllBytes(path);
        string smallest = path + ".min";
        string? bug = BugOf(data);
        byte[] small = bug is null ? data : Minimiser.Shrink(data, d => BugOf(d) == bug, tries: 500);
        File.WriteAllBytes(smallest, small);
        Console.WriteLine($"{bug ?? "no bug"}: {data.Length} bytes, now {small.Length} in {smallest}");
        return bug is not null;

        string? BugOf(byte[] input)
        {
            File.WriteAllBytes(smallest, input);
            return Supervisor.Run(AppContext.BaseDirectory, ["input", target.Name, smallest], _ => 0);
        }
    }
}
