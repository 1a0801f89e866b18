namespace Llama2.Fast;

/// <summary>
/// The same transformer as Simple's, as fast as the machine allows: vector kernels, threads, and whole batches of rows through a layer at a
/// time. The same weights and tokens give the same bits on every machine, with any kernel, any number of threads, and rows in any batches
/// (any NaN equals any NaN).
/// </summary>
public sealed class FastTransformer : ITransformer
{
    private readonly ForwardPass _pass;

    /// <summary>Runs the weights of a model, of any types; its file must stay open for as long as this lives.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="weights">The weights, which are used where they lie.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core that the process may use.</param>
    /// <param name="kernel">One of <see cref="KernelNames"/>; by default the value of LLAMA2_KERNEL, or else the first of them.</param>
    /// <exception cref="KernelException">The machine has no such kernel.</exception>
    /// <exception cref="ArgumentException">There are int8 matrices of several group sizes.</exception>
    public FastTransformer(Config config, Weights weights, int threads = 0, string? kernel = null)
        : this(config, weights, threads, kernel, Shortlist.MinElements)
    {
    }

    /// <summary>The same, with a shortlist for classifiers of that many elements and more.</summary>
    internal FastTransformer(Config config, Weights weights, int threads, string? kernel, long minShortlist)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Kernel chosen = Kernel.Find(kernel);
        (Threads, KernelName) = (threads == 0 ? DefaultThreads : threads, chosen.Name);
        _pass = new ForwardPass(config, weights, chosen, Threads, minShortlist);
    }

    /// <summary>The kernels this machine can run, the preferred one first.</summary>
    public static IReadOnlyList<string> KernelNames { get; } = [.. Kernel.Available.Select(kernel => kernel.Name)];

    /// <summary>All kernels there are, for any machine, in the same order.</summary>
    public static IReadOnlyList<string> AllKernelNames { get; } = [.. Kernel.All.Select(kernel => kernel.Name)];

    /// <summary>The kernel where none is named: the environment's choice, or the preferred one.</summary>
    /// <exception cref="KernelException">The machine has no such kernel.</exception>
    public static string DefaultKernel => Kernel.Find(null).Name;

    /// <summary>The environment variable that forces a kernel.</summary>
    public const string KernelVariable = Kernel.Variable;

    /// <summary>Physical cores that the process may use.</summary>
    public static int DefaultThreads => Cores.Available;

    public Config Config => _pass.Config;
    public int PreferredRows => 128;

    /// <summary>Threads at work, the caller's included.</summary>
    public int Threads { get; }

    /// <summary>The kernel at work.</summary>
    public string KernelName { get; }

    /// <summary>
    /// Bytes read for a token, instead of a float32 classifier, as long as few logits come near the largest; 0 where all of it is always
    /// read.
    /// </summary>
    public long ShortlistBytes => _pass.ShortlistBytes;

    /// <summary>
    /// Runs a model of the smallest size on another thread, so that .NET compiles the kernel while the caller reads files. It changes
    /// nothing but when the first token comes.
    /// </summary>
    /// <param name="quantized">Whether the model that follows is int8, which other code multiplies.</param>
    public static void WarmUp(bool quantized)
    {
        new Thread(Run) { IsBackground = true, Name = "llama2 warm-up" }.Start();

        void Run()
        {
            const int Size = 16;
            Config config = new(Size, Size, 1, 1, 1, Size, 1);
            float[] rms = new float[Size];
            Tensor w = new Float32Tensor(Size, Size, new float[Size * Size]);
            if (quantized)
                w = new Q8GroupsTensor(Size, Size, Size, new sbyte[Size * Size], rms);
            LayerWeights layer = new() { RmsAtt = rms, Wq = w, Wk = w, Wv = w, Wo = w, RmsFfn = rms, W1 = w, W2 = w, W3 = w };
            Weights weights = new() { TokenEmbedding = w, Layers = [layer], RmsFinal = rms, Classifier = w };
            if (Kernel.TryFind(null) is not { } kernel)
                return; // an unknown kernel; the constructor will report it
            using ForwardPass pass = new(config, weights, kernel, threads: 1, Shortlist.MinElements);
            pass.Forward([new Row(0, new KvCache(config), Want.Logits)], new float[Size]);
        }
    }

    public void Forward(ReadOnlySpan<Row> rows, Span<float> output) => _pass.Forward(rows, output);

    /// <summary>Releases the buffers; the weights belong to their checkpoint.</summary>
    public void Dispose() => _pass.Dispose();
}
