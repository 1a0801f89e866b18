using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>
/// The same transformer as Simple's, as fast as the machine allows: vector kernels, threads, and whole batches of rows
/// through a layer at a time. The same weights and tokens give the same bits on every machine, with any kernel, any number
/// of threads, and rows in any batches (any NaN equals any NaN).
/// </summary>
public sealed class FastTransformer : ILanguageHead
{
    private readonly ForwardPass _pass;

    /// <summary>Runs the weights of a checkpoint, float32 or int8; the checkpoint must stay open for as long as it does.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="weights">The weights, which are used where they lie.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core that the process may use.</param>
    /// <param name="kernel">One of <see cref="KernelNames"/>; by default what LLAMA2_KERNEL says, or else the first of them.</param>
    /// <exception cref="ArgumentException">The machine has no such kernel.</exception>
    public FastTransformer(Config config, Weights weights, int threads = 0, string? kernel = null) : this(config, weights, threads, kernel, Shortlist.LeastElements)
    {
    }

    /// <summary>The same, with a shortlist for classifiers of so many elements and more.</summary>
    internal FastTransformer(Config config, Weights weights, int threads, string? kernel, long leastShortlist)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Kernel chosen = Kernel.Find(kernel);
        (Threads, KernelName) = (threads == 0 ? DefaultThreads : threads, chosen.Name);
        _pass = chosen.CreatePass(config, weights, Threads, leastShortlist);
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

    /// <summary>Bytes that <see cref="ArgMax"/> reads for a token instead of a float32 classifier as long as few logits come near the greatest, or 0 where it always reads all of that.</summary>
    public long ShortlistBytes => _pass.ShortlistBytes;

    /// <summary>
    /// Has a thread run a model of the smallest size, so that .NET compiles the kernel while the caller reads files.
    /// It changes nothing but when the first token comes.
    /// </summary>
    /// <param name="quantized">Whether the model to come is of int8, which another part of the kernel multiplies.</param>
    public static void WarmUp(bool quantized)
    {
        new Thread(Run) { IsBackground = true, Name = "llama2 warm-up" }.Start();

        void Run()
        {
            const int Size = 16;
            Config config = new(Size, Size, 1, 1, 1, Size, 1);
            float[] norm = new float[Size];
            Tensor matrix = quantized ? new Q8Tensor(Size, Size, Size, new sbyte[Size * Size], norm) : new FloatTensor(Size, Size, new float[Size * Size]);
            LayerWeights layer = new() { RmsAtt = norm, Wq = matrix, Wk = matrix, Wv = matrix, Wo = matrix, RmsFfn = norm, W1 = matrix, W2 = matrix, W3 = matrix };
            Weights weights = new() { TokenEmbedding = matrix, Layers = [layer], RmsFinal = norm, Classifier = matrix };
            if (Kernel.TryFind(null) is not { } kernel)
                return; // who asks for it next is told
            using ForwardPass pass = kernel.CreatePass(config, weights, threads: 1, Shortlist.LeastElements);
            pass.Forward([new Row(0, new KvCache(config), Want.Logits)], new float[Size]);
        }
    }

    /// <inheritdoc/>
    public void Forward(ReadOnlySpan<Row> rows, Span<float> output) => _pass.Forward(rows, output);

    /// <inheritdoc/>
    public void Classify(ReadOnlySpan<float> embedding, Span<float> logits) => _pass.Classify(embedding, logits);

    /// <inheritdoc/>
    public int ArgMax(ReadOnlySpan<float> embedding) => _pass.ArgMax(embedding);

    /// <inheritdoc/>
    public void Softmax(Span<float> logits, float temperature) => _pass.Softmax(logits, temperature);

    /// <summary>Releases the buffers, after which the other methods throw <see cref="ObjectDisposedException"/>; the weights belong to their checkpoint.</summary>
    public void Dispose() => _pass.Dispose();
}
