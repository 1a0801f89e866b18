using System.Diagnostics;
using Llama2.Simple;

namespace Llama2.Cli.Bench;

/// <summary>How long to measure.</summary>
/// <param name="Samples">Samples of each row.</param>
/// <param name="SampleTime">How long a sample lasts at least; the work is repeated within it.</param>
/// <param name="WarmUp">How long the work runs before the first sample, so that the JIT has done its best by then.</param>
internal sealed record Effort(int Samples, TimeSpan SampleTime, TimeSpan WarmUp)
{
    public static readonly Effort Quick = new(5, TimeSpan.FromMilliseconds(150), TimeSpan.FromMilliseconds(500));
    public static readonly Effort Full = new(7, TimeSpan.FromMilliseconds(600), TimeSpan.FromMilliseconds(1000));
}

/// <summary>
/// Work to be measured. BenchmarkDotNet calls <see cref="SetUp"/>, then for each sample <see cref="BeforeSample"/> and
/// <see cref="Sample"/>, then <see cref="CleanUp"/>. None of these throws, since the runner would not live through it:
/// the first error ends the work and is the result.
/// </summary>
internal abstract class Scenario(Effort effort, CancellationToken cancellation)
{
    public Effort Effort { get; } = effort;

    protected CancellationToken Cancellation { get; } = cancellation;

    /// <summary>How often a sample repeats its work.</summary>
    public int Repeats { get; private set; } = 1;

    /// <summary>What went wrong, or null.</summary>
    public Exception? Error { get; private set; }

    /// <summary>What <see cref="RunOnce"/> gets done, in the unit that a rate is to have a second.</summary>
    public abstract double Work { get; }

    public void SetUp() => Try(() =>
    {
        Prepare();
        long start = Stopwatch.GetTimestamp(), last;
        do
        {
            last = Stopwatch.GetTimestamp();
            RunOnce();
        }
        while (Stopwatch.GetElapsedTime(start) < Effort.WarmUp);
        Repeats = (int)Math.Clamp(Effort.SampleTime / Stopwatch.GetElapsedTime(last), 1, 1e9);
        TakeTurns(isSample: false); // brings a peer's files into memory, and a peer that fails to light
    });

    public void BeforeSample() => Try(() => TakeTurns(isSample: true));

    public void Sample() => Try(() =>
    {
        for (int i = 0; i < Repeats; i++)
            RunOnce();
    });

    public void CleanUp() => Release();

    /// <summary>Makes what <see cref="RunOnce"/> needs.</summary>
    protected abstract void Prepare();

    /// <summary>The work itself.</summary>
    protected abstract void RunOnce();

    /// <summary>Lets others run before the work is warm (not a sample of theirs), and before each sample.</summary>
    protected virtual void TakeTurns(bool isSample)
    {
    }

    /// <summary>Lets go of what <see cref="Prepare"/> made, if it did.</summary>
    protected abstract void Release();

    private void Try(Action action)
    {
        if (Error is not null)
            return;
        try
        {
            Cancellation.ThrowIfCancellationRequested();
            action();
        }
        catch (Exception e)
        {
            Error = e;
        }
    }
}
