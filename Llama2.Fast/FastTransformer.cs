using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>
/// The same transformer as Simple's, as fast as the machine allows: vector kernels, threads, and whole batches of rows
/// through a layer at a time. The same weights and tokens give the same bits on every machine, with any kernel, any number
/// of threads, and rows in any batches (any NaN equals any NaN).
/// </summary>
public sealed class FastTransformer : ITransformer
{
    private readonly ForwardPass _pass;

    /// <summary>Runs the weights of a checkpoint, float32 or int8; the checkpoint must stay open for as long as it does.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="weights">The weights, which are used where they lie.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core that the process may use.</param>
    /// <param name="kernel">One of <see cref="KernelNames"/>; by default what LLAMA2_KERNEL says, or else the first of them.</param>
    /// <exception cref="ArgumentException">The machine has no such kernel.</exception>
    public FastTransformer(Config config, Weights weights, int threads = 0, string? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Kernel chosen = Kernel.Find(kernel);
        (Threads, KernelName) = (threads == 0 ? DefaultThreads : threads, chosen.Name);
        _pass = chosen.CreatePass(config, weights, Threads);
    }

    /// <summary>The kernels this machine can run, the preferred one first.</summary>
    public static IReadOnlyList<string> KernelNames { get; } = [.. Kernel.Available.Select(kernel => kernel.Name)];

    /// <summary>All kernels there are, for any machine, in the same order.</summary>
    public static IReadOnlyList<string> AllKernelNames { get; } = [.. Kernel.All.Select(kernel => kernel.Name)];

    /// <summary>The environment variable that forces a kernel.</summary>
    public const string KernelVariable = Kernel.Variable;

    /// <summary>Physical cores that the process may use.</summary>
    public static int DefaultThreads => Cores.Available;

    /// <inheritdoc/>
    public Config Config => _pass.Config;

    /// <summary>Threads at work, the caller's included.</summary>
    public int Threads { get; }

    /// <summary>The kernel at work.</summary>
    public string KernelName { get; }

    /// <inheritdoc/>
    public void Forward(ReadOnlySpan<Row> rows, Span<float> output) => _pass.Forward(rows, output);

    /// <summary>Releases the buffers; the weights belong to their checkpoint.</summary>
    public void Dispose() => _pass.Dispose();
}
