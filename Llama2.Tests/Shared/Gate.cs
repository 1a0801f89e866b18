namespace Llama2.Tests.Shared;

/// <summary>Holds the passes of a model until a test lets them go.</summary>
internal sealed class Gate : IDisposable
{
    private readonly SemaphoreSlim _passes = new(0), _reached = new(0);
    private volatile bool _isOpen;

    public void Pass()
    {
        _reached.Release();
        if (!_isOpen)
            _passes.Wait(TimeSpan.FromSeconds(30)); // else a test that fails would wait for its engine for ever
    }

    public void WaitUntilReached() => _reached.Wait(TestContext.Current.CancellationToken);

    /// <summary>Lets so many passes go, and waits until the next one is held.</summary>
    public void LetPass(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _passes.Release();
            WaitUntilReached();
        }
    }

    public void Open()
    {
        _isOpen = true;
        _passes.Release(1000);
    }

    public void Dispose()
    {
        _passes.Dispose();
        _reached.Dispose();
    }
}
