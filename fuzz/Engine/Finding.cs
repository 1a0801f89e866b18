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

    [GeneratedRegex(Unhandled + @"(?:\w+\.)*(\w+)")]
    private static partial Regex Exception();

    // The engine's own frames are not there when the input is replayed.
    [GeneratedRegex(@"\bat Llama2\.(?!Fuzz\.(?!Targets))[\w.<>|`+]*?([\w<>|`+]+\.\.?[\w<>|`]+)[\[(]")]
    private static partial Regex Frame();

    [GeneratedRegex(@"[^\w.\-]")]
    private static partial Regex Unsafe();
}
