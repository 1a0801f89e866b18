namespace Llama2.Fast.Kernels;

/// <summary>The inner loop of <see cref="BlockTile{TRows, TBlocks}"/>, the same for all types of blocks.</summary>
internal static unsafe class RowProducts<TRows> where TRows : struct, IRows<TRows>
{
    private const int Rows = 16;

    // by their tokens, from one on
    private static readonly delegate*<sbyte*, int, int*, nint, int*, void>[] Sums =
        [&Sum<One>, &Sum<Two>, &Sum<Three>, &Sum<Four>, &Sum<Five>, &Sum<Six>, &Sum<Seven>, &Sum<Eight>];

    /// <summary>The sums of products of some steps: of two weights of each of sixteen rows, and two activations of each token.</summary>
    /// <param name="tokens">1 to 8.</param>
    /// <param name="w">(steps, rows, 2).</param>
    /// <param name="steps">How many there are.</param>
    /// <param name="x">The first token's activations, in pairs.</param>
    /// <param name="apart">Units from a token's to the next one's.</param>
    /// <param name="sums">(tokens, rows).</param>
    [MethodImpl(Jit.Inline)]
    public static void Sum(int tokens, sbyte* w, int steps, int* x, nint apart, int* sums) => Sums[tokens - 1](w, steps, x, apart, sums);

    [MethodImpl(Jit.Optimize)]
    private static void Sum<TTokens>(sbyte* w, int steps, int* x, nint apart, int* sums) where TTokens : struct, ITokens
    {
        apart *= sizeof(BlockUnit) / sizeof(int);
        int* x1 = x + apart, x2 = x1 + apart, x3 = x2 + apart, x4 = x3 + apart, x5 = x4 + apart, x6 = x5 + apart, x7 = x6 + apart;
        TRows a = default, b = default, c = default, d = default, e = default, f = default, g = default, h = default;
        for (int j = 0; j < steps; j++, w += 2 * Rows)
        {
            TRows weights = TRows.Widen(w);
            a = TRows.AddProducts(a, weights, x[j]);
            if (TTokens.Count > 1)
                b = TRows.AddProducts(b, weights, x1[j]);
            if (TTokens.Count > 2)
                c = TRows.AddProducts(c, weights, x2[j]);
            if (TTokens.Count > 3)
                d = TRows.AddProducts(d, weights, x3[j]);
            if (TTokens.Count > 4)
                e = TRows.AddProducts(e, weights, x4[j]);
            if (TTokens.Count > 5)
                f = TRows.AddProducts(f, weights, x5[j]);
            if (TTokens.Count > 6)
                g = TRows.AddProducts(g, weights, x6[j]);
            if (TTokens.Count > 7)
                h = TRows.AddProducts(h, weights, x7[j]);
        }
        TRows.Store(sums, a);
        if (TTokens.Count > 1)
            TRows.Store(sums + Rows, b);
        if (TTokens.Count > 2)
            TRows.Store(sums + 2 * Rows, c);
        if (TTokens.Count > 3)
            TRows.Store(sums + 3 * Rows, d);
        if (TTokens.Count > 4)
            TRows.Store(sums + 4 * Rows, e);
        if (TTokens.Count > 5)
            TRows.Store(sums + 5 * Rows, f);
        if (TTokens.Count > 6)
            TRows.Store(sums + 6 * Rows, g);
        if (TTokens.Count > 7)
            TRows.Store(sums + 7 * Rows, h);
    }
}
