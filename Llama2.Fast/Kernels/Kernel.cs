namespace Llama2.Fast.Kernels;

/// <summary>
/// One way to compute on this kind of machine; all of them give the same bits. The types of registers end here: all above is plain code. A
/// call does a chunk of work, thousands of operations, so that its being virtual costs nothing.
/// </summary>
internal abstract unsafe class Kernel(string name)
{
    /// <summary>The environment variable that forces a kernel, by its name.</summary>
    public const string Variable = "LLAMA2_KERNEL";

    public readonly string Name = name;

    /// <summary>
    /// All there are, the fastest first. 512 bits before 256 before 128, since decode waits for memory either way and prefill does twice
    /// the work an instruction. .NET has VNNI in 256 bits alone; it does in one instruction what AVX2 does in four, and AVX-512, of twice
    /// the width, in two.
    /// </summary>
    public static IReadOnlyList<Kernel> All { get; } =
    [
        new Kernel<Lanes512, Int8Vnni, VectorBlocks<DotsVnni, Rows512>>("avx512-vnni"),
        new Kernel<Lanes512, Int8Avx512, VectorBlocks<DotsAvx2, Rows512>>("avx512"),
        new Kernel<Lanes256, Int8Vnni, VectorBlocks<DotsVnni, Rows256>>("avx2-vnni"),
        new Kernel<Lanes256, Int8Avx2, VectorBlocks<DotsAvx2, Rows256>>("avx2"),
        new Kernel<Lanes128, Int8Vector128, VectorBlocks<Dots128, Rows128>>("128"),
        new Kernel<LanesScalar, Int8Scalar, ScalarBlocks>("scalar"),
    ];

    /// <summary>Those this machine can run.</summary>
    public static IReadOnlyList<Kernel> Available => [.. All.Where(kernel => kernel.IsSupported)];

    protected abstract bool IsSupported { get; }
    private static string? Chosen => Environment.GetEnvironmentVariable(Variable);

    /// <summary>The kernel of that name, or of the environment's choice, or the fastest.</summary>
    /// <exception cref="KernelException">The machine has no such kernel.</exception>
    public static Kernel Find(string? kernel) => TryFind(kernel) ?? throw new KernelException(
        $"{Variable}: this machine has no kernel {kernel ?? Chosen}, but {string.Join(", ", Available.Select(one => one.Name))}");

    /// <summary>The same, or null.</summary>
    public static Kernel? TryFind(string? kernel)
    {
        kernel ??= Chosen;
        return All.FirstOrDefault(one => (string.IsNullOrEmpty(kernel) || one.Name == kernel) && one.IsSupported);
    }

    // o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x
    public abstract void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory);
    public abstract float Dot(float* w, float* x, int n); // of float32
    public abstract void Attend(in Heads heads, NativeBuffer<float> scratch);
    public abstract void RmsNorm(float* o, float* x, float* weight, int n, float epsilon);
    public abstract void SwiGlu(float* hb, float* hb2, int n);
    public abstract void Softmax(float* x, int n, float temperature);
    public abstract void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven);
    public abstract void Quantize(float* x, int n, QuantizedActivations int8, int row); // activations, to be multiplied by matrices of int8
    public abstract void Quantize(float* x, BlockActivations blocks, int row);          // the same, by matrices of blocks
    public abstract float Bound(float* x, float* errors, float* norms, int n, float xNorm, float xError);
    public abstract float Max(float* x, int n);
}

/// <summary>A kernel made of lanes, int8 products, and products of blocks.</summary>
internal sealed unsafe class Kernel<TLanes, TInt8, TBlocks>(string name) : Kernel(name)
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
    where TBlocks : struct, IBlockKernel
{
    protected override bool IsSupported => TLanes.IsSupported && TInt8.IsSupported && TBlocks.IsSupported;

    public override void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        switch (w.Type)
        {
            case MatrixType.Float32:
                MatMul<TLanes>.Multiply(w.Floats + (nint)first * w.Columns, rows, x.Floats, x.Stride, x.Count, w.Columns, o, oStride, add);
                break;
            case MatrixType.Float16:
                MatMulHalves<TLanes, Float16>.Multiply(w, first, rows, x, o, oStride, add, memory);
                break;
            case MatrixType.BFloat16:
                MatMulHalves<TLanes, BFloat16>.Multiply(w, first, rows, x, o, oStride, add, memory);
                break;
            case MatrixType.Int8:
                MatMulInt8<TInt8>.Multiply(w, first, rows, x, o, oStride, add, memory);
                break;
            case MatrixType.Blocks:
                TBlocks.Multiply(w, first, rows, x, o, oStride, add, memory);
                break;
        }
    }

    public override void Quantize(float* x, int n, QuantizedActivations int8, int row)
    {
        Nn<TLanes>.Quantize(x, n, int8.GroupSize, int8.Values(row), int8.Scales(row), halvesToEven: false);
        MatMulInt8<TInt8>.Pack(int8, row, n);
    }

    public override void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven) =>
        Nn<TLanes>.Quantize(x, n, groupSize, values, scales, halvesToEven);

    public override void Quantize(float* x, BlockActivations blocks, int row)
    {
        BlockUnit* unit = blocks.Row(row);
        for (int j = 0; j < blocks.Length; j += BlockUnit.Length, unit++)
        {
            int count = Math.Min(BlockUnit.Length, blocks.Length - j);
            Nn<TLanes>.QuantizeUnit(x + j, count, unit);
            BlockUnit.Sum(unit);
        }
    }

    public override float Bound(float* x, float* errors, float* norms, int n, float xNorm, float xError) =>
        Nn<TLanes>.Bound(x, errors, norms, n, xNorm, xError);

    public override float Dot(float* w, float* x, int n) => MatMul<TLanes>.Dot(w, x, n);
    public override void Attend(in Heads heads, NativeBuffer<float> scratch) => Attention<TLanes>.Attend(heads, scratch);
    public override void RmsNorm(float* o, float* x, float* weight, int n, float epsilon) =>
        Nn<TLanes>.RmsNorm(o, x, weight, n, epsilon);
    public override void SwiGlu(float* hb, float* hb2, int n) => Nn<TLanes>.SwiGlu(hb, hb2, n);
    public override void Softmax(float* x, int n, float temperature) => Nn<TLanes>.Softmax(x, n, temperature);
    public override float Max(float* x, int n) => Nn<TLanes>.Max(x, n);
}
