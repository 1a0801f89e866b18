namespace Llama2.Fuzz.Targets;

/// <summary>
/// A matrix of one of ggml's types, of any bits, and some vectors: every kernel gives Simple's bits where the type is of blocks, and the
/// definition's where it is of 16 bits, and touches nothing beside its operands.
/// </summary>
internal static class Blocks
{
    private static readonly GgmlType[] Types = [.. GgmlType.All.Where(type => type.IsReadable && type != GgmlType.F32)];

    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        GgmlType type = Types[input.Byte() % Types.Length];
        int n = type.BlockElements * input.Between(1, Math.Min(300, 768 / type.BlockElements));
        Product product = new(input, maxRows: 40, n, maxTokens: 26);
        Memory<byte> bytes = input.Guard<byte>((int)(product.Rows * type.RowBytes(n)));
        input.FillBytes(bytes.Span);
        Tensor w = GgmlTensor.Create(type, product.Rows, n, bytes);
        product.AssertEveryKernelGives(type.Unpack is null ? product.By(KernelUnderTest.Definition, w) : product.BySimple(w), w);
    }
}
