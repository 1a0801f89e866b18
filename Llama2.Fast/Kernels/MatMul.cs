namespace Llama2.Fast.Kernels;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) in float32. Each of the rows * tokens dot products has sixteen lanes of its own: lane l
/// takes the elements j with j mod 16 = l in increasing j by fused multiply-add from +0; then comes the horizontal sum by halving. Tiles of
/// rows and tokens only share what they load.
/// </summary>
internal static unsafe class MatMul<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int MaxRows = 4, MaxTokens = 8; // of a tile

    // A tile of four rows and six tokens computes faster than one of three and eight, which reads the weights of up to eight tokens once.
    // With 16 registers there is room for two rows and three tokens.
    private static int MaxTokensOf(int tokens) => !TLanes.Has32Registers ? 3 : tokens <= MaxTokens ? MaxTokens : 6;

    // by their tokens, from one on
    private static readonly delegate*<float*, int, float*, nint, int, float*, nint, bool, void>[] Passes =
        [&Pass<One>, &Pass<Two>, &Pass<Three>, &Pass<Four>, &Pass<Five>, &Pass<Six>, &Pass<Seven>, &Pass<Eight>];

    /// <summary>o[t * oStride + i] = (add ? o[t * oStride + i] : 0) + sum of w[i * n + j] * x[t * xStride + j].</summary>
    public static void Multiply(float* w, int rows, float* x, nint xStride, int tokens, int n, float* o, nint oStride, bool add)
    {
        int maxTokens = MaxTokensOf(tokens);
        int block = tokens <= maxTokens ? rows : Math.Max(8, TileTokens.BlockBytes / sizeof(float) / n & ~7);
        for (int i = 0, count; i < rows; i += count)
        {
            count = Math.Min(block, rows - i);
            for (int t = 0, together; t < tokens; t += together)
            {
                together = TileTokens.Next(tokens - t, maxTokens);
                Passes[together - 1](w + (nint)i * n, count, x + t * xStride, xStride, n, o + t * oStride + i, oStride, add);
            }
        }
    }

    // All rows for the tokens of one tile. The rows of a tile lie far apart: each is a stream of its own, long enough for the
    // processor to prefetch. Neighbouring rows would be streams of one row each, which AMD's prefetcher does not follow
    // (decode of stories110M's shape on one thread of an EPYC: 30 tokens/s with neighbours, 54 so).
    [MethodImpl(Jit.Optimize), SkipLocalsInit]
    private static void Pass<TTokens>(float* w, int rows, float* x, nint xStride, int n, float* o, nint oStride, bool add)
        where TTokens : struct, ITokens
    {
        float* ends = stackalloc float[(MaxRows + MaxTokens) * Lanes.Count];
        int apart = rows / TileRows<TTokens>();
        for (int i = 0; i < apart; i++)
            Tile<TTokens>(w + (nint)i * n, (nint)apart * n, x, xStride, n, o + i, apart, oStride, add, ends);
        for (int i = TileRows<TTokens>() * apart; i < rows; i++)
        {
            for (int t = 0; t < TTokens.Count; t++)
            {
                float* to = o + t * oStride + i;
                float dot = Dot(w + (nint)i * n, x + t * xStride, n);
                *to = add ? *to + dot : dot;
            }
        }
    }

    // Four rows, or as many as have room for their accumulators in registers.
    [MethodImpl(Jit.Inline)]
    private static int TileRows<TTokens>() where TTokens : struct, ITokens =>
        TTokens.Count <= (TLanes.Has32Registers ? 6 : 1) ? MaxRows : TLanes.Has32Registers ? 3 : 2;

    /// <summary>One dot product in the canonical order.</summary>
    [MethodImpl(Jit.Optimize)]
    public static float Dot(float* w, float* x, int n)
    {
        TLanes sum = TLanes.Create(0);
        int j = 0;
        for (; j + Lanes.Count <= n; j += Lanes.Count)
            sum = TLanes.FusedMultiplyAdd(TLanes.Load(w + j), TLanes.Load(x + j), sum);
        if (j < n)
            sum = TLanes.FusedMultiplyAdd(Weights(w + j, n - j), Values(x + j, n - j), sum);
        return TLanes.Sum(sum, sum, sum, sum)[0];
    }

    // A row's last elements. The lanes beyond get -0 * 0, the one product that leaves any sum as it is, even -0.
    [MethodImpl(Jit.Inline)] private static TLanes Weights(float* w, int count) => TLanes.LoadPartial(w, count, -0f);
    [MethodImpl(Jit.Inline)] private static TLanes Values(float* x, int count) => TLanes.LoadPartial(x, count, 0f);

    /// <summary>The accumulators of one token and the rows of a tile.</summary>
    private struct Column
    {
        public TLanes A, B, C, D;
    }

    // All dot products of a tile, in registers: no call and no copy may come between its first step and its last. So the ends of rows
    // are copied before, and the loop runs over them too.
    [MethodImpl(Jit.Optimize)]
    private static void Tile<TTokens>(
        float* w, nint wApart, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add, float* ends)
        where TTokens : struct, ITokens
    {
        int rest = n % Lanes.Count;
        float* end = x + (n - rest);
        if (rest > 0)
            CopyEnds<TTokens>(w + (n - rest), wApart, end, xStride, rest, ends);
        Column t0 = default, t1 = default, t2 = default, t3 = default, t4 = default, t5 = default, t6 = default, t7 = default;
        while (true)
        {
            for (; x < end; w += Lanes.Count, x += Lanes.Count)
            {
                Prefetch.Rows(w, wApart * sizeof(float), TileRows<TTokens>());
                TLanes a = TLanes.Load(w), b = TLanes.Load(w + wApart), c = a, d = b;
                if (TileRows<TTokens>() > 2)
                    c = TLanes.Load(w + 2 * wApart);
                if (TileRows<TTokens>() > 3)
                    d = TLanes.Load(w + 3 * wApart);
                Add<TTokens>(ref t0, a, b, c, d, x);
                if (TTokens.Count > 1)
                    Add<TTokens>(ref t1, a, b, c, d, x + xStride);
                if (TTokens.Count > 2)
                    Add<TTokens>(ref t2, a, b, c, d, x + 2 * xStride);
                if (TTokens.Count > 3)
                    Add<TTokens>(ref t3, a, b, c, d, x + 3 * xStride);
                if (TTokens.Count > 4)
                    Add<TTokens>(ref t4, a, b, c, d, x + 4 * xStride);
                if (TTokens.Count > 5)
                    Add<TTokens>(ref t5, a, b, c, d, x + 5 * xStride);
                if (TTokens.Count > 6)
                    Add<TTokens>(ref t6, a, b, c, d, x + 6 * xStride);
                if (TTokens.Count > 7)
                    Add<TTokens>(ref t7, a, b, c, d, x + 7 * xStride);
            }
            if (rest == 0)
                break;
            w = ends;
            x = ends + MaxRows * Lanes.Count;
            end = x + Lanes.Count;
            (wApart, xStride, rest) = (Lanes.Count, Lanes.Count, 0);
        }
        Write<TTokens>(t0, o, apart, add);
        if (TTokens.Count > 1)
            Write<TTokens>(t1, o + oStride, apart, add);
        if (TTokens.Count > 2)
            Write<TTokens>(t2, o + 2 * oStride, apart, add);
        if (TTokens.Count > 3)
            Write<TTokens>(t3, o + 3 * oStride, apart, add);
        if (TTokens.Count > 4)
            Write<TTokens>(t4, o + 4 * oStride, apart, add);
        if (TTokens.Count > 5)
            Write<TTokens>(t5, o + 5 * oStride, apart, add);
        if (TTokens.Count > 6)
            Write<TTokens>(t6, o + 6 * oStride, apart, add);
        if (TTokens.Count > 7)
            Write<TTokens>(t7, o + 7 * oStride, apart, add);
    }

    private static void CopyEnds<TTokens>(float* w, nint wApart, float* x, nint xStride, int count, float* to)
        where TTokens : struct, ITokens
    {
        for (int i = 0; i < TileRows<TTokens>(); i++)
            TLanes.Store(to + i * Lanes.Count, Weights(w + i * wApart, count));
        for (int t = 0; t < TTokens.Count; t++)
            TLanes.Store(to + (MaxRows + t) * Lanes.Count, Values(x + t * xStride, count));
    }

    [MethodImpl(Jit.Inline)]
    private static void Add<TTokens>(ref Column sums, TLanes a, TLanes b, TLanes c, TLanes d, float* x) where TTokens : struct, ITokens
    {
        TLanes v = TLanes.Load(x);
        sums.A = TLanes.FusedMultiplyAdd(a, v, sums.A);
        sums.B = TLanes.FusedMultiplyAdd(b, v, sums.B);
        if (TileRows<TTokens>() > 2)
            sums.C = TLanes.FusedMultiplyAdd(c, v, sums.C);
        if (TileRows<TTokens>() > 3)
            sums.D = TLanes.FusedMultiplyAdd(d, v, sums.D);
    }

    // Results of rows that lie apart.
    [MethodImpl(Jit.Inline)]
    private static void Write<TTokens>(Column sums, float* o, nint apart, bool add) where TTokens : struct, ITokens
    {
        Vector128<float> dots = TileRows<TTokens>() > 2
            ? TLanes.Sum(sums.A, sums.B, sums.C, sums.D) : TLanes.Sum(sums.A, sums.B, sums.A, sums.B);
        Horizontal.Scatter(dots, o, apart, TileRows<TTokens>(), add);
    }
}
