using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Cli.Bench;

/// <summary>What limits an operation.</summary>
internal enum Bound
{
    /// <summary>Reading: GB/s.</summary>
    Memory,

    /// <summary>Multiplying floats: GFLOP/s.</summary>
    Float,

    /// <summary>Multiplying int8: GOP/s.</summary>
    Int8,
}

/// <summary>One operation of one kernel, on one thread. Its work is 1e9 bytes or operations.</summary>
/// <param name="operation">What is computed.</param>
/// <param name="kernel">By whom.</param>
/// <param name="shape">Of its operands.</param>
/// <param name="bound">What it is held against.</param>
/// <param name="amount">Bytes read, or operations done.</param>
/// <param name="prepare">Makes the operands, and from them the operation.</param>
/// <param name="effort">How long to measure.</param>
/// <param name="cancellation">Stops at the next sample.</param>
internal sealed class MicroScenario(string operation, string kernel, string shape, Bound bound, double amount, Func<Action> prepare, Effort effort, CancellationToken cancellation)
    : Scenario(effort, cancellation)
{
    private Action? _run;

    public string Operation { get; } = operation;

    public string Kernel { get; } = kernel;

    public string Shape { get; } = shape;

    public Bound Bound { get; } = bound;

    /// <summary>Bytes that are read, where that is the limit.</summary>
    public long Bytes => (long)amount;

    public override double Work => amount / 1e9;

    public string Unit => Bound switch { Bound.Memory => "GB/s", Bound.Float => "GFLOP/s", _ => "GOP/s" };

    public override string ToString() => $"{Operation} {Shape} {Kernel}";

    protected override void Prepare() => _run = prepare();

    protected override void RunOnce() => _run!();

    protected override void Release() => _run = null;

    /// <summary>All operations at the shapes of stories110M, in every kernel of this machine.</summary>
    public static IEnumerable<MicroScenario> All(Effort effort, CancellationToken cancellation)
    {
        const int Dim = 768, Hidden = 2048, Vocab = 32000, HeadSize = 64, Position = 1023, Group = 64, Prompt = 48;
        (int Rows, int Columns)[] layers = [(Dim, Dim), (Hidden, Dim), (Dim, Hidden)];
        return [
            .. layers.Append((Vocab, Dim)).SelectMany(shape => MatMuls(shape.Item1, shape.Item2, 1)),
            .. layers.SelectMany(shape => MatMuls(shape.Rows, shape.Columns, Prompt)),
            .. layers.Append((Vocab, Dim)).SelectMany(shape => Int8MatMuls(shape.Item1, shape.Item2, 1)),
            .. layers.SelectMany(shape => Int8MatMuls(shape.Rows, shape.Columns, Prompt)),
            .. Kernels.Select(kernel => Of("attention, one head", kernel.Name, $"{Position + 1} x {HeadSize}", Bound.Memory, 2.0 * sizeof(float) * HeadSize * (Position + 1), () =>
            {
                float[] q = Floats(HeadSize), o = Floats(HeadSize), keys = Floats(HeadSize * (Position + 1)), values = Floats(keys.Length);
                return () => kernel.Operations.Attend(q, o, keys, values, HeadSize, Position);
            })),
            .. Vectors("rmsnorm", Dim, 2, (o, x, y) => Nn.RmsNorm(o, x, y), (kernel, o, x, y) => kernel.RmsNorm(o, x, y, Dim)),
            .. Vectors("swiglu", Hidden, 2, (o, x, y) => Nn.SwiGlu(x, y), (kernel, o, x, y) => kernel.SwiGlu(x, y, Hidden)),
            .. Vectors("softmax", Position + 1, 1, (o, x, y) => Nn.Softmax(x), (kernel, o, x, y) => kernel.Softmax(x, Position + 1)),
            Of("quantize", "simple", $"{Hidden}", Bound.Memory, sizeof(float) * Hidden, () =>
            {
                (float[] x, sbyte[] values, float[] scales) = (Floats(Hidden), new sbyte[Hidden], new float[Hidden / Group]);
                return () => Quantization.QuantizeActivations(x, Group, values, scales);
            }),
            .. Kernels.Select(kernel => Of("quantize", kernel.Name, $"{Hidden}", Bound.Memory, sizeof(float) * Hidden, () =>
            {
                (float[] x, QuantizedActivations quantized) = (Floats(Hidden), new QuantizedActivations(Hidden, Group));
                return () => kernel.Operations.Quantize(x, quantized, Hidden, 1);
            })),
        ];

        MicroScenario Of(string operation, string kernel, string shape, Bound bound, double amount, Func<Action> prepare) => new(operation, kernel, shape, bound, amount, prepare, effort, cancellation);

        IEnumerable<MicroScenario> MatMuls(int rows, int columns, int tokens)
        {
            (string operation, Bound bound) = tokens == 1 ? ("matmul, one token", Bound.Memory) : ($"matmul, {tokens} tokens", Bound.Float);
            (string shape, double amount) = ($"{rows} x {columns}", tokens == 1 ? sizeof(float) * (double)rows * columns : 2.0 * rows * columns * tokens);
            if (tokens == 1)
            {
                yield return Of(operation, "simple", shape, bound, amount, () =>
                {
                    (FloatTensor w, float[] x, float[] o) = (new FloatTensor(rows, columns, Floats(rows * columns)), Floats(columns), new float[rows]);
                    return () => w.Multiply(x, o);
                });
            }
            foreach (Kernel kernel in Kernels)
            {
                yield return Of(operation, kernel.Name, shape, bound, amount, () =>
                {
                    (float[] w, float[] x, float[] o) = (Floats(rows * columns), Floats(columns * tokens), new float[rows * tokens]);
                    return () => kernel.Operations.Multiply(w, x, o, rows, columns, tokens);
                });
            }
        }

        IEnumerable<MicroScenario> Int8MatMuls(int rows, int columns, int tokens)
        {
            (string operation, Bound bound) = tokens == 1 ? ("matmul int8, one token", Bound.Memory) : ($"matmul int8, {tokens} tokens", Bound.Int8);
            (string shape, double amount) = ($"{rows} x {columns}", tokens == 1 ? (1 + (double)sizeof(float) / Group) * rows * columns : 2.0 * rows * columns * tokens);
            if (tokens == 1)
            {
                yield return Of(operation, "simple", shape, bound, amount, () =>
                {
                    (Q8Tensor w, float[] x, float[] o) = (Int8(rows, columns, Group), Floats(columns), new float[rows]);
                    return () => w.Multiply(x, o);
                });
            }
            foreach (Kernel kernel in Kernels)
            {
                yield return Of(operation, kernel.Name, shape, bound, amount, () =>
                {
                    (Q8Tensor w, QuantizedActivations x, float[] o) = (Int8(rows, columns, Group), new QuantizedActivations(columns, Group), new float[rows * tokens]);
                    kernel.Operations.Quantize(Floats(columns * tokens), x, columns, tokens);
                    return () => kernel.Operations.Multiply(w, x, o, tokens);
                });
            }
        }

        IEnumerable<MicroScenario> Vectors(string operation, int n, int inputs, Action<float[], float[], float[]> simple, Action<Operations, float[], float[], float[]> fast)
        {
            (string shape, double amount) = ($"{n}", (double)inputs * sizeof(float) * n);
            return Kernels.Select(kernel => Of(operation, kernel.Name, shape, Bound.Memory, amount, () => Run((o, x, y) => fast(kernel.Operations, o, x, y))))
                .Prepend(Of(operation, "simple", shape, Bound.Memory, amount, () => Run(simple)));

            // silu(-1) * (1 + e) = -1: repeating swiglu in place neither grows nor fades into denormals
            Action Run(Action<float[], float[], float[]> work)
            {
                float[] o = new float[n], x = new float[n], y = new float[n];
                Array.Fill(x, -1);
                Array.Fill(y, 1 + MathF.E);
                return () => work(o, x, y);
            }
        }
    }

    private static IReadOnlyList<Kernel> Kernels => Fast.Kernels.Kernel.Available;

    private static float[] Floats(int count)
    {
        float[] floats = new float[count];
        for (int i = 0; i < count; i++)
            floats[i] = (i * 7919L % 256 - 128) / 256f;
        return floats;
    }

    private static Q8Tensor Int8(int rows, int columns, int group)
    {
        sbyte[] values = new sbyte[rows * columns];
        for (int i = 0; i < values.Length; i++)
            values[i] = (sbyte)(i * 7919L % 255 - 127);
        float[] scales = new float[values.Length / group];
        Array.Fill(scales, 1f / 127);
        return new Q8Tensor(rows, columns, group, values, scales);
    }
}
