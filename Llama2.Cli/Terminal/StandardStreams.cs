using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Llama2.Cli.Terminal;

/// <summary>
/// The streams that a shell gives a program, without Console's readers and writers, which would change the modes of a terminal. A
/// stream that the shell closed (2>&amp;-) is null: the runtime has opened a pipe or a file of its own under that number.
/// </summary>
internal static class StandardStreams
{
    private const int In = 0, Out = 1, Error = 2;
    private const int GetFlags = 1, CloseOnExec = 1; // F_GETFD and FD_CLOEXEC of fcntl on Linux and macOS

    public static Stream? OpenInput() => IsOpen(In) ? Console.OpenStandardInput() : null;
    public static Stream? OpenError() => IsOpen(Error) ? Console.OpenStandardError() : null;

    /// <summary>stdout. Console's own stream ignores that the reader of a pipe has gone; this one throws.</summary>
    public static Stream? OpenOutput()
    {
        if (!IsOpen(Out))
            return null;
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected)
            return Console.OpenStandardOutput();
        FileStream pipe = new(new SafeFileHandle(Out, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        return pipe.CanSeek ? Console.OpenStandardOutput() : pipe; // a FileStream would not move the position that a file shares
    }

    // All that the runtime opens is closed on exec, which nothing can be that came to this program through one.
    private static bool IsOpen(int descriptor) =>
        OperatingSystem.IsWindows() || fcntl(descriptor, GetFlags) is >= 0 and int flags && (flags & CloseOnExec) == 0;

    [DllImport("libc"), DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int fcntl(int descriptor, int command);
}
