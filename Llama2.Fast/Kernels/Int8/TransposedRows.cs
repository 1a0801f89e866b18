namespace Llama2.Fast.Kernels;

/// <summary>
/// Products of int8 matrices for few tokens. A lane is a row, so that a group's sum is complete where it is scaled; for that, sixteen
/// numbers of each row are transposed in registers, once for all tokens.
/// </summary>
internal static unsafe class TransposedRows<TInt8> where TInt8 : struct, IInt8<TInt8>
{
    /// <summary>
    /// Their sums and four registers of weights still fit in 16 registers. For more tokens rows packed in memory are as fast, which one
    /// pass of more tokens shares.
    /// </summary>
    public const int MaxTokens = 8;

    private const int Step = 16; // numbers of each row that are transposed at once

    // by their tokens, from one on
    private static readonly delegate*<Matrix, int, QuantizedActivations, int, float*, nint, bool, float*, void>[] Tiles =
        [&Tile<One>, &Tile<Two>, &Tile<Three>, &Tile<Four>, &Tile<Five>, &Tile<Six>, &Tile<Seven>, &Tile<Eight>];

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w and row token + t of x.</summary>
    /// <returns>How many rows there are in whole tiles; the others are not multiplied.</returns>
    public static int Multiply(
        Matrix w, int first, int rows, QuantizedActivations x, int token, int tokens, float* o, nint oStride, bool add, float* scratch)
    {
        int i = 0;
        for (; i + TInt8.Lanes <= rows; i += TInt8.Lanes)
            Tiles[tokens - 1](w, first + i, x, token, o + i, oStride, add, scratch);
        return i;
    }

    /// <summary>The sums of one token: with few tokens two, since each product would wait for the one before.</summary>
    private struct Sums
    {
        public TInt8 A, B;
    }

    [MethodImpl(Jit.Inline)] private static bool HasTwoSums<TTokens>() where TTokens : struct, ITokens => 2 * TTokens.Count <= MaxTokens;

    [MethodImpl(Jit.Optimize)]
    private static void Tile<TTokens>(
        Matrix w, int row, QuantizedActivations x, int token, float* o, nint oStride, bool add, float* scratch)
        where TTokens : struct, ITokens
    {
        int groupSize = w.GroupSize, lanes = TInt8.Lanes;
        nint n = w.Columns, groups = n / groupSize;
        float* sums = scratch, scales = sums + TTokens.Count * lanes;
        new Span<float>(sums, TTokens.Count * lanes).Clear();
        for (int i = 0; i < lanes; i += 4)
            Horizontal.Transpose(w.Scales + (row + i) * groups, groups, scales + i, lanes);
        sbyte* values = w.Values + row * n, next = values + lanes * n, x0 = x.Values(token); // next: the following tile
        int* starts = x.Starts(token);
        float* xScales = x.Scales(token);
        for (float* end = xScales + groups; xScales < end; scales += lanes, starts++, xScales++)
        {
            Sums t0 = Start<TTokens>(0, starts, groups), t1 = Start<TTokens>(1, starts, groups), t2 = Start<TTokens>(2, starts, groups);
            Sums t3 = Start<TTokens>(3, starts, groups), t4 = Start<TTokens>(4, starts, groups), t5 = Start<TTokens>(5, starts, groups);
            Sums t6 = Start<TTokens>(6, starts, groups), t7 = Start<TTokens>(7, starts, groups);
            for (sbyte* stop = values + groupSize; values < stop; values += Step, x0 += Step, next += lanes * Step)
            {
                for (int line = 0; line < lanes * Step; line += 64)
                    Prefetch.Line(next + line);
                TInt8.LoadRows(values, n, out TInt8 a, out TInt8 b, out TInt8 c, out TInt8 d);
                Add<TTokens>(ref t0, a, b, c, d, x0);
                if (TTokens.Count > 1)
                    Add<TTokens>(ref t1, a, b, c, d, x0 + n);
                if (TTokens.Count > 2)
                    Add<TTokens>(ref t2, a, b, c, d, x0 + 2 * n);
                if (TTokens.Count > 3)
                    Add<TTokens>(ref t3, a, b, c, d, x0 + 3 * n);
                if (TTokens.Count > 4)
                    Add<TTokens>(ref t4, a, b, c, d, x0 + 4 * n);
                if (TTokens.Count > 5)
                    Add<TTokens>(ref t5, a, b, c, d, x0 + 5 * n);
                if (TTokens.Count > 6)
                    Add<TTokens>(ref t6, a, b, c, d, x0 + 6 * n);
                if (TTokens.Count > 7)
                    Add<TTokens>(ref t7, a, b, c, d, x0 + 7 * n);
            }
            AddScaled<TTokens>(0, sums, t0, scales, xScales, groups);
            AddScaled<TTokens>(1, sums, t1, scales, xScales, groups);
            AddScaled<TTokens>(2, sums, t2, scales, xScales, groups);
            AddScaled<TTokens>(3, sums, t3, scales, xScales, groups);
            AddScaled<TTokens>(4, sums, t4, scales, xScales, groups);
            AddScaled<TTokens>(5, sums, t5, scales, xScales, groups);
            AddScaled<TTokens>(6, sums, t6, scales, xScales, groups);
            AddScaled<TTokens>(7, sums, t7, scales, xScales, groups);
        }
        for (int t = 0; t < TTokens.Count; t++, sums += lanes, o += oStride)
            Store(o, sums, lanes, add);
    }

    [MethodImpl(Jit.Inline)]
    private static Sums Start<TTokens>(int token, int* starts, nint groups) where TTokens : struct, ITokens =>
        new() { A = token < TTokens.Count ? TInt8.Create(starts[token * groups]) : default };

    [MethodImpl(Jit.Inline)]
    private static void Add<TTokens>(ref Sums sums, TInt8 a, TInt8 b, TInt8 c, TInt8 d, sbyte* x) where TTokens : struct, ITokens
    {
        int* quads = (int*)x;
        TInt8 xa = TInt8.Create(quads[0]), xb = TInt8.Create(quads[1]), xc = TInt8.Create(quads[2]), xd = TInt8.Create(quads[3]);
        sums.A = TInt8.Dot(sums.A, a, xa);
        if (HasTwoSums<TTokens>())
        {
            sums.B = TInt8.Dot(sums.B, b, xb);
            sums.A = TInt8.Dot(sums.A, c, xc);
            sums.B = TInt8.Dot(sums.B, d, xd);
            return;
        }
        sums.A = TInt8.Dot(sums.A, b, xb);
        sums.A = TInt8.Dot(sums.A, c, xc);
        sums.A = TInt8.Dot(sums.A, d, xd);
    }

    [MethodImpl(Jit.Inline)]
    private static void AddScaled<TTokens>(int token, float* sums, Sums dots, float* scales, float* xScales, nint groups)
        where TTokens : struct, ITokens
    {
        if (token >= TTokens.Count)
            return;
        TInt8 sum = HasTwoSums<TTokens>() ? dots.A + dots.B : dots.A;
        TInt8.AddScaled(sums + token * TInt8.Lanes, sum, scales, xScales[token * groups]);
    }

    /// <summary>o (+)= sums, a multiple of four of them.</summary>
    [MethodImpl(Jit.Inline)]
    public static void Store(float* o, float* sums, int count, bool add)
    {
        for (int l = 0; l < count; l += 4)
            (add ? Vector128.Load(o + l) + Vector128.Load(sums + l) : Vector128.Load(sums + l)).Store(o + l);
    }
}
