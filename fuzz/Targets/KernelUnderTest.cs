using System.Buffers;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fuzz.Targets;

/// <summary>The operations of one kernel, whatever its registers; <see cref="Definition"/> says what they must give.</summary>
internal abstract unsafe class KernelUnderTest
{
    public static KernelUnderTest Definition { get; } = new Of<LanesScalar, Int8Scalar>();

    /// <summary>All others that this machine can run.</summary>
    public static KernelUnderTest[] Others { get; } =
    [
        .. Supported<Lanes512, Int8Vnni>(), .. Supported<Lanes512, Int8Avx512>(), .. Supported<Lanes256, Int8Vnni>(), .. Supported<Lanes256, Int8Avx2>(), .. Supported<Lanes128, Int8By128>(),
    ];

    public abstract string Name { get; }

    /// <summary>o (tokens, rows) = or += w (rows, n) @ x (tokens, n), all three between guard pages.</summary>
    public abstract void MatMul(float* w, int rows, float* x, int tokens, int n, float* o, int oStride, bool add);

    /// <summary>The same for int8: quantises x (tokens, columns) and multiplies.</summary>
    public abstract void MatMulInt8(Q8Tensor w, float* x, int tokens, float* o, int oStride, bool add);

    public abstract void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven);

    private static KernelUnderTest[] Supported<TLanes, TInt8>() where TLanes : struct, ILanes<TLanes> where TInt8 : struct, IInt8<TInt8> =>
        TLanes.IsSupported && TInt8.IsSupported ? [new Of<TLanes, TInt8>()] : [];

    private sealed class Of<TLanes, TInt8> : KernelUnderTest where TLanes : struct, ILanes<TLanes> where TInt8 : struct, IInt8<TInt8>
    {
        public override string Name => $"{typeof(TLanes).Name}, {typeof(TInt8).Name}";

        public override void MatMul(float* w, int rows, float* x, int tokens, int n, float* o, int oStride, bool add) =>
            MatMul<TLanes>.Multiply(w, n, rows, x, n, tokens, n, o, oStride, add);

        public override void MatMulInt8(Q8Tensor w, float* x, int tokens, float* o, int oStride, bool add)
        {
            List<MemoryHandle> pins = [];
            using QuantizedActivations quantized = new(w.Columns, w.GroupSize);
            quantized.EnsureRows(tokens);
            for (int t = 0; t < tokens; t++)
                quantized.Quantize<TLanes, TInt8>(t, x + (t * w.Columns), w.Columns);
            Matrix matrix = new(w, pins);
            fixed (float* scratch = new float[MatMulInt8<TInt8>.ScratchCount(matrix)])
                MatMulInt8<TInt8>.Multiply(matrix, 0, w.Rows, quantized, 0, tokens, o, oStride, add, scratch);
            pins.ForEach(pin => pin.Dispose());
        }

        public override void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven) =>
            Nn<TLanes>.Quantize(x, n, groupSize, values, scales, halvesToEven);
    }

    /// <summary>Throws unless the bits are the same; any NaN equals any NaN.</summary>
    public void MustGive(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]) && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
                throw new BrokenPromiseException($"{Name}: element {i} of {expected.Length} is {actual[i]:R} instead of {expected[i]:R}");
        }
    }
}
