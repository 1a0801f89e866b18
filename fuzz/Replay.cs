using System.Diagnostics;
using Llama2.Fuzz.Engine;

namespace Llama2.Fuzz;

/// <summary>Runs inputs again, one by one, on the code as it was built: stack traces then have line numbers.</summary>
internal static class Replay
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Runs files, or all files of folders.</summary>
    /// <returns>Whether all went well.</returns>
    public static bool Run(Target target, IEnumerable<string> paths)
    {
        bool good = true;
        foreach (string path in paths.SelectMany(p => Directory.Exists(p) ? Corpus.Files(p) : [p]))
        {
            try
            {
                target.Run(File.ReadAllBytes(path));
                Console.WriteLine($"ok      {path}");
            }
            catch (Exception e) when (e is not IOException)
            {
                good = false;
                Console.WriteLine($"FAILED  {path}\n{e}");
            }
        }
        return good;
    }

    /// <summary>Writes to FILE.min the smallest input found that fails just as FILE does.</summary>
    /// <returns>Whether FILE failed at all.</returns>
    public static bool Minimise(Target target, string path)
    {
        byte[] data = File.ReadAllBytes(path);
        // The first time in another process: it may die of it, and then each time has to be.
        string? name = NameElsewhere(target, data);
        bool dies = name is not null;
        Func<byte[], string?> nameOf = dies ? d => NameElsewhere(target, d) : d => NameHere(target, d);
        name ??= NameHere(target, data);
        if (name is null)
        {
            Console.WriteLine($"{path} does no harm");
            return false;
        }
        byte[] small = Minimiser.Shrink(data, d => nameOf(d) == name, tries: dies ? 200 : 100_000);
        File.WriteAllBytes(path + ".min", small);
        Console.WriteLine($"{name}: {data.Length} bytes, now {small.Length} in {path}.min");
        return true;
    }

    private static string? NameHere(Target target, byte[] data)
    {
        try
        {
            target.Run(data);
            return null;
        }
        catch (Exception e)
        {
            return Finding.Name(e);
        }
    }

    /// <summary>How a process ends that runs the input; null if it ends by itself, well or with an exception.</summary>
    private static string? NameElsewhere(Target target, byte[] data)
    {
        ScratchFile file = new("replay");
        file.Write(data);
        using Process process = Supervisor.Start([target.Name, "--replay", file.Path], "", redirectOutput: true);
        Task<string> error = process.StandardError.ReadToEndAsync();
        _ = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            return "timeout";
        }
        File.Delete(file.Path);
        return process.ExitCode is 0 or 1 ? null : Finding.Name(error.Result, process.ExitCode);
    }
}
