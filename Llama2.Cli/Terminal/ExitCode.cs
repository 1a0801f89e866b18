using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Terminal;

/// <summary>The exit codes of the program.</summary>
internal static class ExitCode
{
    public const int Success = 0, BadUsage = 1, BadFile = 2, Differs = 3;
    public const int HungUp = 129, Interrupted = 130, Terminated = 143; // as shells have it for a program that a signal ended

    /// <summary>The code of an error whose message is for the user, or null.</summary>
    public static int? Of(Exception e) => e switch
    {
        UsageException or KernelException or ContextFullException => BadUsage,
        ModelFileException or IOException or UnauthorizedAccessException or OutOfMemoryException => BadFile,
        _ => null,
    };
}

/// <summary>The command line asks for something impossible. The message says so in one line.</summary>
internal sealed class UsageException(string message) : Exception(message)
{
    public static void ThrowIf(bool condition, string message)
    {
        if (condition)
            throw new UsageException(message);
    }
}
