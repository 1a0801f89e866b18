namespace Llama2.Fuzz.Targets;

/// <summary>o (tokens, rows) = or += w (rows, n) @ x (tokens, n), of an input's sizes and values; x and o have guard pages.</summary>
internal sealed class Product
{
    private readonly int _n, _stride; // of o: some floats beside the rows must stay as they are
    private readonly Memory<float> _x;
    private readonly float[] _before;

    public Product(FuzzInput input, int maxRows, int n, int maxTokens)
    {
        (Rows, _n, Tokens, Adds) = (input.Between(1, maxRows), n, input.Between(1, maxTokens), input.Bool());
        _stride = Rows + input.Between(0, 2);
        _x = input.Guard<float>(Tokens * n);
        input.Fill(_x.Span);
        _before = new float[((Tokens - 1) * _stride) + Rows];
        input.Fill(_before);
    }

    public int Rows { get; }
    public int Tokens { get; }
    public bool Adds { get; }

    public ReadOnlySpan<float> X(int token) => _x.Span.Slice(token * _n, _n);

    /// <summary>A token's row of o.</summary>
    public Span<float> Row(float[] o, int token) => o.AsSpan(token * _stride, Rows);

    public float[] By(Kernel kernel, Tensor w)
    {
        using GuardedMemory<float> o = new(_before.Length);
        _before.CopyTo(o.GetSpan());
        kernel.Multiply(w, _x.Span, Tokens, o.GetSpan(), _stride, Adds);
        return o.GetSpan().ToArray();
    }

    public float[] BySimple(Tensor w)
    {
        float[] o = [.. _before], dots = new float[Rows];
        for (int t = 0; t < Tokens; t++)
        {
            w.Multiply(X(t), dots);
            Span<float> row = Row(o, t);
            for (int i = 0; i < Rows; i++)
                row[i] = Adds ? row[i] + dots[i] : dots[i];
        }
        return o;
    }

    public void AssertEveryKernelGives(float[] expected, Tensor w)
    {
        foreach (Kernel kernel in Kernel.Available)
            KernelUnderTest.AssertSameBits(expected, By(kernel, w), kernel.Name);
    }
}
