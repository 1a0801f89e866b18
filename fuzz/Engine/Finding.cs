using System.Security.Cryptography;
using System.Text.RegularExpressions;

namespace Llama2.Fuzz.Engine;

/// <summary>Names a bug by how it shows and where, so that the same bug has the same name.</summary>
internal static partial class Finding
{
    /// <summary>How the runtime begins its message on an exception that nobody catches.</summary>
    public const string Unhandled = "Unhandled exception. ";

    /// <param name="message">What the runtime writes as the process dies of the bug.</param>
    public static string Name(string message)
    {
        string kind = message.Contains("Stack overflow", StringComparison.Ordinal) ? "fatal-StackOverflow"
            : message.Contains("AccessViolation", StringComparison.Ordinal) ? "fatal-AccessViolation"
            : Exception().Match(message) is { Success: true } match ? "crash-" + match.Groups[1].Value
            : "fatal";
        string[] frames = [.. Frame().Matches(message).Take(3).Select(match => match.Groups[1].Value)]; // their callers vary
        return Unsafe().Replace($"{kind}-{frames.FirstOrDefault("unknown")}-{Hash(Encoding.UTF8.GetBytes(string.Join(' ', frames)))}", "_");
    }

    public static string Hash(ReadOnlySpan<byte> data) => Convert.ToHexStringLower(SHA256.HashData(data))[..16];

    /// <summary>Saves the last input, and says so, unless the bug is known.</summary>
    /// <returns>Where it was saved; null if it is known.</returns>
    public static string? Report(string bug, FuzzOptions options, FlightRecorder recorder)
    {
        string path = Path.Combine(options.FindingsFolder, bug);
        if (File.Exists(path))
            return null;
        Directory.CreateDirectory(options.FindingsFolder);
        File.WriteAllBytes(path, recorder.Input);
        recorder.Now.Findings++;
        Console.WriteLine($"{options.Target.Name}: found {bug}");
        return path;
    }

    [GeneratedRegex(Unhandled + @"(?:\w+\.)*(\w+)")]
    private static partial Regex Exception();

    // The engine's own frames are not there when the input is replayed.
    [GeneratedRegex(@"\bat Llama2\.(?!Fuzz\.(?!Targets))[\w.<>|`+]*?([\w<>|`+]+\.\.?[\w<>|`]+)[\[(]")]
    private static partial Regex Frame();

    [GeneratedRegex(@"[^\w.\-]")]
    private static partial Regex Unsafe();
}
