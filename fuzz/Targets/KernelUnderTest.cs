namespace Llama2.Fuzz.Targets;

/// <summary>What targets ask of a kernel; <see cref="Definition"/> says what all of them must give.</summary>
internal static unsafe class KernelUnderTest
{
    public static Kernel Definition { get; } = Kernel.All[^1];

    /// <summary>o (tokens, rows) = or += w (rows, columns) @ x (tokens, columns); x is quantised for w of int8 and of blocks.</summary>
    public static void Multiply(this Kernel kernel, Tensor w, ReadOnlySpan<float> x, int tokens, Span<float> o, int oStride, bool add)
    {
        List<MemoryHandle> pins = [];
        Matrix matrix = new(w, pins);
        using QuantizedActivations? int8 = w is Q8GroupsTensor quantized ? new(w.Columns, quantized.GroupSize) : null;
        using BlockActivations? blocks = matrix.Type == MatrixType.Blocks ? new(w.Columns) : null;
        using NativeBuffer<float> scratch = new();
        int8?.EnsureRows(tokens);
        blocks?.EnsureRows(tokens);
        fixed (float* xs = x, os = o)
        {
            for (int t = 0; t < tokens; t++)
            {
                if (int8 is not null)
                    kernel.Quantize(xs + (t * w.Columns), w.Columns, int8, t);
                if (blocks is not null)
                    kernel.Quantize(xs + (t * w.Columns), blocks, t);
            }
            kernel.Multiply(matrix, 0, w.Rows, new Inputs(xs, w.Columns, int8, 0, tokens, blocks), os, oStride, add, scratch);
        }
        pins.ForEach(pin => pin.Dispose());
    }

    /// <summary>Throws unless the bits are the same; any NaN equals any NaN.</summary>
    public static void AssertSameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i])
                && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
                throw new BrokenPromiseException($"{what}: element {i} of {expected.Length} is {actual[i]:R} instead of {expected[i]:R}");
        }
    }
}
