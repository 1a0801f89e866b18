using System.Diagnostics;
using System.Reflection;
using System.Text.RegularExpressions;

namespace Llama2.Fuzz.Engine;

/// <summary>What went wrong, in a name that is the same for the same bug: how it showed, and where.</summary>
internal static partial class Finding
{
    private const int Frames = 3; // deeper ones tell who called, not what is wrong

    /// <summary>Of an exception that left a target.</summary>
    public static string Name(Exception e)
    {
        IEnumerable<string> frames = new StackTrace(e).GetFrames()
            .Select(frame => frame.GetMethod())
            .OfType<MethodBase>()
            .Select(method => $"{method.DeclaringType?.FullName}.{method.Name}");
        return Name("crash-" + e.GetType().Name, frames);
    }

    /// <summary>Of a process that died, from what the runtime wrote about it.</summary>
    public static string Name(string standardError, int exitCode)
    {
        string kind = standardError.Contains("Stack overflow", StringComparison.Ordinal) ? "StackOverflow"
            : standardError.Contains("AccessViolation", StringComparison.Ordinal) ? "AccessViolation"
            : $"exit-{exitCode}";
        return Name("fatal-" + kind, Frame().Matches(standardError).Select(match => match.Groups[1].Value));
    }

    /// <summary>Of a run that took too long, from the edges it took.</summary>
    public static string TimeoutName(ulong fingerprint) => $"timeout-{(uint)fingerprint:x8}";

    /// <summary>Saves the input unless the bug is known.</summary>
    /// <returns>Whether it was new.</returns>
    public static bool Save(string folder, string name, ReadOnlySpan<byte> data)
    {
        string path = Path.Combine(folder, name);
        if (File.Exists(path))
            return false;
        Directory.CreateDirectory(folder);
        File.WriteAllBytes(path, data);
        return true;
    }

    private static string Name(string kind, IEnumerable<string> frames)
    {
        string[] top = [.. frames.Where(IsTried).Take(Frames).Select(frame => string.Join('.', frame.Split('.')[^2..]))];
        uint hash = 2166136261;
        foreach (char c in string.Join(' ', top))
            hash = (hash ^ c) * 16777619;
        return Unsafe().Replace($"{kind}-{top.FirstOrDefault("unknown")}-{hash:x8}", "_");
    }

    // the same input fails in the fuzzer and in a replay
    private static bool IsTried(string method) => method.StartsWith("Llama2.", StringComparison.Ordinal)
        && (!method.StartsWith("Llama2.Fuzz.", StringComparison.Ordinal) || method.StartsWith(typeof(Targets.Planted).Namespace!, StringComparison.Ordinal));

    [GeneratedRegex(@"\bat (Llama2\.[\w.<>|`+]+)[\[(]")]
    private static partial Regex Frame();

    [GeneratedRegex(@"[^\w.\-]")]
    private static partial Regex Unsafe();
}
