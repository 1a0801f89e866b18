using System.Runtime.InteropServices;

namespace Llama2.Cli.Chat;

/// <summary>Ctrl-C as a conversation takes it: once stops what is going on, twice in a row leaves, a third time ends the process at once.</summary>
internal sealed class RepeatedInterrupt : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;
    private CancellationTokenSource _current = new();
    private int _presses;

    public RepeatedInterrupt() => _registrations = [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Press(context, 1)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Press(context, 2))];

    /// <summary>Whether it was pressed twice in a row, or somebody ends the process.</summary>
    public bool Leaves => Volatile.Read(ref _presses) >= 2;

    /// <summary>A token that the next press cancels; at once, if it is time to leave.</summary>
    public CancellationToken Next()
    {
        CancellationTokenSource next = new();
        _current = next;
        if (Leaves)
            next.Cancel();
        return next.Token;
    }

    /// <summary>Forgets the presses so far: the user goes on.</summary>
    public void Reset() => Volatile.Write(ref _presses, 0);

    private void Press(PosixSignalContext context, int presses)
    {
        context.Cancel = Interlocked.Add(ref _presses, presses) <= 2;
        _current.Cancel();
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
    }
}
