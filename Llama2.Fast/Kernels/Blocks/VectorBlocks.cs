namespace Llama2.Fast.Kernels;

/// <summary>W (rows, n) @ x (tokens, n) -> o (tokens, rows) where W is of blocks.</summary>
internal unsafe interface IBlockKernel
{
    static abstract bool IsSupported { get; }

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x.</summary>
    static abstract void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory);
}

/// <summary>Where there are vectors: a type's own code.</summary>
internal readonly unsafe struct VectorBlocks<TDots> : IBlockKernel where TDots : struct, IDots
{
    public static bool IsSupported => TDots.IsSupported;

    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        byte* from = w.Bytes + first * w.RowBytes;
        switch (w.Blocks!.Name)
        {
            case "q4_0": MatMulBlocks<TDots, Q40>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q4_1": MatMulBlocks<TDots, Q41>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_0": MatMulBlocks<TDots, Q50>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_1": MatMulBlocks<TDots, Q51>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q8_0": MatMulBlocks<TDots, Q80>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q2_K": MatMulBlocks<TDots, Q2K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q3_K": MatMulBlocks<TDots, Q3K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q4_K": MatMulBlocks<TDots, Q4K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_K": MatMulBlocks<TDots, Q5K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q6_K": MatMulBlocks<TDots, Q6K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "iq4_nl": MatMulBlocks<TDots, Iq4Nl>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "iq4_xs": MatMulBlocks<TDots, Iq4Xs>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            default: throw new NotSupportedException($"no kernel for {w.Blocks}");
        }
    }
}
