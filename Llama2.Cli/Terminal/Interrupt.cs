using System.Runtime.InteropServices;

namespace Llama2.Cli.Terminal;

/// <summary>
/// Ctrl-C cancels what is going on. A command ends at the first press, a conversation at the second in a row; one press
/// more ends the process at once. SIGTERM, and SIGHUP where a terminal goes, count as all presses that a clean end takes.
/// </summary>
internal sealed class Interrupt : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;
    private readonly int _pressesToLeave;
    private CancellationTokenSource _current = new();
    private int _presses;

    public Interrupt(int pressesToLeave = 1)
    {
        _pressesToLeave = pressesToLeave;
        _registrations = [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Press(context, 1, Terminal.ExitCode.Interrupted)),
            PosixSignalRegistration.Create(
                PosixSignal.SIGTERM, context => Press(context, pressesToLeave, Terminal.ExitCode.Terminated)),
            PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Press(context, pressesToLeave, Terminal.ExitCode.HungUp))];
    }

    /// <summary>The exit code of a program that a signal ended.</summary>
    public static int ExitCode { get; private set; } = Terminal.ExitCode.Interrupted;

    public CancellationToken Token => _current.Token; // cancelled by the next press
    public bool Leaves => Volatile.Read(ref _presses) >= _pressesToLeave;

    /// <summary>A new token for what begins now; already cancelled if it is time to leave.</summary>
    public CancellationToken Next()
    {
        CancellationTokenSource next = new();
        Interlocked.Exchange(ref _current, next); // before it is asked, or a press between the two would be lost
        if (Leaves)
            next.Cancel();
        return next.Token;
    }

    /// <summary>Forgets the presses so far, unless it is time to leave: the user goes on.</summary>
    public void Reset()
    {
        int presses = Volatile.Read(ref _presses);
        if (presses < _pressesToLeave)
            Interlocked.CompareExchange(ref _presses, 0, presses);
    }

    private void Press(PosixSignalContext context, int presses, int exitCode)
    {
        ExitCode = exitCode;
        context.Cancel = Interlocked.Add(ref _presses, presses) <= _pressesToLeave;
        _current.Cancel();
    }

    public void Dispose() => Array.ForEach(_registrations, registration => registration.Dispose());
}
