namespace Llama2.Fast.Kernels;

/// <summary>W (rows, n) @ x (tokens, n) -> o (tokens, rows) where W is of blocks.</summary>
internal unsafe interface IBlockKernel
{
    static abstract bool IsSupported { get; }

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x.</summary>
    static abstract void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory);
}

/// <summary>Where there are vectors: a type's own code.</summary>
internal readonly unsafe struct VectorBlocks<TDots, TRows> : IBlockKernel
    where TDots : struct, IDots
    where TRows : struct, IRows<TRows>
{
    public static bool IsSupported => TDots.IsSupported && TRows.IsSupported;

    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        byte* from = w.Bytes + first * w.RowBytes;
        switch (w.Blocks!.Name)
        {
            case "q4_0": MatMulBlocks<TDots, TRows, Q40>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q4_1": MatMulBlocks<TDots, TRows, Q41>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_0": MatMulBlocks<TDots, TRows, Q50>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_1": MatMulBlocks<TDots, TRows, Q51>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q8_0": MatMulBlocks<TDots, TRows, Q80>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q2_K": MatMulBlocks<TDots, TRows, Q2K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q3_K": MatMulBlocks<TDots, TRows, Q3K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q4_K": MatMulBlocks<TDots, TRows, Q4K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q5_K": MatMulBlocks<TDots, TRows, Q5K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "q6_K": MatMulBlocks<TDots, TRows, Q6K>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "iq4_nl": MatMulBlocks<TDots, TRows, Iq4Nl>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            case "iq4_xs": MatMulBlocks<TDots, TRows, Iq4Xs>.Multiply(from, w, rows, x, o, oStride, add, memory); break;
            default: throw new NotSupportedException($"no kernel for {w.Blocks}");
        }
    }
}
