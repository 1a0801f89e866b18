using Llama2.Fast.Kernels;
using Llama2.Simple.Tensors;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A matrix of one of ggml's types, of any bits, and some vectors: every kernel gives Simple's bits where the type is of blocks, and the
/// definition's where it is of 16 bits, and touches nothing beside its operands.
/// </summary>
internal static unsafe class Blocks
{
    private static readonly GgmlType[] Types = [.. GgmlType.All.Where(type => type.IsReadable && type != GgmlType.F32)];

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        GgmlType type = Types[input.Byte() % Types.Length];
        int rows = input.Between(1, 40), tokens = input.Between(1, 14), beyond = input.Between(0, 2), kind = input.Byte();
        int n = type.BlockElements * input.Between(1, Math.Min(300, 768 / type.BlockElements));
        bool add = (kind & 1) != 0;
        using GuardedMemory<float> x = new(tokens * n, beforeEnd: (kind & 2) != 0 ? -1 : 4 * input.Between(0, 15));
        input.Fill(x.GetSpan());
        using GuardedMemory<float> before = new(((tokens - 1) * (rows + beyond)) + rows);
        input.Fill(before.GetSpan());
        using GuardedMemory<byte> bytes = new((int)(rows * type.RowBytes(n)), beforeEnd: (kind & 4) != 0 ? -1 : input.Between(0, 63));
        Fill(bytes.GetSpan(), input.Rest);
        Tensor w = GgmlTensor.Create(type, rows, n, bytes.Memory);

        float[] expected = type.Unpack is null
            ? Multiply(w, KernelUnderTest.Definition, x, tokens, before, rows + beyond, add)
            : Simple(w, x, tokens, before, rows + beyond, add);
        foreach (Kernel kernel in Kernel.Available)
            kernel.MustGive(expected, Multiply(w, kernel, x, tokens, before, rows + beyond, add));
    }

    private static void Fill(Span<byte> weights, ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < weights.Length; i++)
            weights[i] = (byte)(bytes.IsEmpty ? i * 59 : bytes[i % bytes.Length] + (i / bytes.Length * 37));
    }

    private static float[] Simple(Tensor w, GuardedMemory<float> x, int tokens, GuardedMemory<float> before, int stride, bool add)
    {
        float[] o = before.GetSpan().ToArray(), dots = new float[w.Rows];
        for (int t = 0; t < tokens; t++)
        {
            w.Multiply(x.GetSpan().Slice(t * w.Columns, w.Columns), dots);
            for (int i = 0; i < w.Rows; i++)
                o[(t * stride) + i] = add ? o[(t * stride) + i] + dots[i] : dots[i];
        }
        return o;
    }

    private static float[] Multiply(Tensor w, Kernel kernel, GuardedMemory<float> x, int tokens, GuardedMemory<float> before, int stride,
        bool add)
    {
        using GuardedMemory<float> o = new(before.GetSpan());
        fixed (float* xs = x.GetSpan(), os = o.GetSpan())
            kernel.Multiply(w, xs, tokens, os, stride, add);
        return o.GetSpan().ToArray();
    }

    /// <summary>A seed a type, the rest of each a pattern of bits with ordinary scales.</summary>
    public static IEnumerable<Seed> Seeds() => Types.Select((type, i) => new Seed($"seed-{type.Name.ToLowerInvariant()}",
        [(byte)i, (byte)(i * 5), (byte)(i * 3), 1, (byte)i, 1, 0, 3, 9, 27, 3, 7, 0x11, 0x2c, 0x35, 0x28, 0x9a, 0xe4, 0x71, 0x0f]));
}
