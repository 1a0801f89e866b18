using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Llama2.Cli.Terminal;

/// <summary>The terminal. Streams of stdout and stderr come from here, too: System.Console would change it for good.</summary>
internal static class Tty
{
    private const string C = "libc";
    private const int Stdin = 0, Stdout = 1, Stderr = 2;
    private const int GetFlags = 1, CloseOnExec = 1; // F_GETFD and FD_CLOEXEC of fcntl on Linux and macOS

    // As System.Console begins, it puts the terminal into application mode (ESC[?1h ESC=) and leaves it there, if TERM says how.
    static Tty()
    {
        if (OperatingSystem.IsWindows() || (Console.IsInputRedirected && Console.IsOutputRedirected && Console.IsErrorRedirected))
            return;
        string? term = Environment.GetEnvironmentVariable("TERM");
        Environment.SetEnvironmentVariable("TERM", null);
        _ = Console.WindowWidth; // makes it begin
        Environment.SetEnvironmentVariable("TERM", term);
    }

    /// <summary>Whether a user can edit lines: keys come one by one, and escape sequences are obeyed.</summary>
    public static bool CanEdit => !OperatingSystem.IsWindows() && !Console.IsInputRedirected && !Console.IsOutputRedirected
        && Environment.GetEnvironmentVariable("TERM") is { Length: > 0 } and not "dumb";

    /// <summary>Columns and rows; 80 and 24 where they are unknown.</summary>
    public static (int Columns, int Rows) Size =>
        Console.WindowWidth > 0 && Console.WindowHeight > 0 ? (Console.WindowWidth, Console.WindowHeight) : (80, 24);

    public static bool HasInput => IsOpen(Stdin); // if not, the shell closed it

    /// <summary>stdin; empty where the shell closed it.</summary>
    public static Stream OpenInput() => !HasInput ? Stream.Null
        : Console.IsInputRedirected || OperatingSystem.IsWindows() ? Console.OpenStandardInput()
        : new FileStream(new SafeFileHandle(Stdin, ownsHandle: false), FileAccess.Read, bufferSize: 0); // not .NET's line editor

    /// <summary>stderr, or null where the shell closed it.</summary>
    public static Stream? OpenError() => IsOpen(Stderr) ? Console.OpenStandardError() : null;

    /// <summary>
    /// stdout, or null where the shell closed it. Console's own stream ignores that the reader of a pipe has gone; this one throws.
    /// </summary>
    public static Stream? OpenOutput()
    {
        if (!IsOpen(Stdout))
            return null;
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected)
            return Console.OpenStandardOutput();
        FileStream pipe = new(new SafeFileHandle(Stdout, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        return pipe.CanSeek ? Console.OpenStandardOutput() : pipe; // a FileStream would not move the position that a file shares
    }

    // A shell may close a stream (<&-, 2>&-). The runtime then opens a file of its own under that number, which nobody else may
    // touch. Its files are closed on exec, which a file that came to this program through one cannot be.
    private static bool IsOpen(int file) =>
        OperatingSystem.IsWindows() || (fcntl(file, GetFlags) is >= 0 and int flags && (flags & CloseOnExec) == 0);

    /// <summary>Does what Ctrl-C does where the terminal is not raw: SIGINT for the whole process group.</summary>
    public static void Interrupt() => _ = kill(0, 2);

    /// <summary>Does what Ctrl-Z does where the terminal is not raw: SIGTSTP for the whole process group.</summary>
    public static void Suspend() => _ = kill(0, OperatingSystem.IsLinux() ? 20 : 18);

    /// <summary>Raw mode: each key comes at once, none is echoed or makes a signal. Its end restores what was before.</summary>
    internal sealed class RawMode : IDisposable
    {
        private const int Drain = 1; // TCSADRAIN
        private readonly byte[] _before = new byte[256]; // a termios, which is smaller on every system
        private readonly PosixSignalRegistration? _continued;
        private readonly Lock _lock = new();
        private bool _isOver;

        public RawMode()
        {
            _ = tcgetattr(Stdin, _before);
            byte[] raw = [.. _before];
            cfmakeraw(raw);
            _ = tcsetattr(Stdin, Drain, raw);
            // where a process goes on after SIGSTOP, the runtime sets the terminal to what it was at the start, unless it is cancelled
            _continued = OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(PosixSignal.SIGCONT, context =>
            {
                context.Cancel = true;
                lock (_lock)
                {
                    if (!_isOver) // this may come late
                        _ = tcsetattr(Stdin, Drain, raw);
                }
            });
        }

        public void Dispose()
        {
            _continued?.Dispose();
            lock (_lock)
            {
                _isOver = true;
                _ = tcsetattr(Stdin, Drain, _before);
            }
        }
    }

#pragma warning disable SYSLIB1054, CA5392, IDE1006 // LibraryImport would need unsafe code; names are libc's
    [DllImport(C)]
    private static extern int fcntl(int file, int command);

    [DllImport(C)]
    private static extern int kill(int process, int signal);

    [DllImport(C)]
    private static extern int tcgetattr(int file, [Out] byte[] termios);

    [DllImport(C)]
    private static extern int tcsetattr(int file, int when, byte[] termios);

    [DllImport(C)]
    private static extern void cfmakeraw([In, Out] byte[] termios);
#pragma warning restore SYSLIB1054, CA5392, IDE1006
}
