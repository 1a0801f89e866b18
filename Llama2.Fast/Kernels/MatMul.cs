namespace Llama2.Fast.Kernels;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) in float32. Each of the rows * tokens dot products has sixteen lanes of its own: lane l
/// takes the elements j with j mod 16 = l in increasing j by fused multiply-add from +0; then comes the horizontal sum by halving. Tiles of
/// rows and tokens only share what they load.
/// </summary>
internal static unsafe class MatMul<TLanes> where TLanes : struct, ILanes<TLanes>
{
    // Weights that meet all tokens before the next ones do: 192 KB, which stay in L2.
    private const int BlockFloats = 48 * 1024;

    /// <summary>Dot products that are computed together, all in registers.</summary>
    private interface ITile
    {
        static abstract int Rows { get; }

        static abstract int Tokens { get; }

        /// <summary>Rows lie <paramref name="wApart"/> floats apart, their results <paramref name="apart"/>.</summary>
        static abstract void Run(float* w, nint wApart, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add);
    }

    /// <summary>o[t * oStride + i] = (add ? o[t * oStride + i] : 0) + sum of w[i * n + j] * x[t * xStride + j].</summary>
    public static void Multiply(float* w, int rows, float* x, nint xStride, int tokens, int n, float* o, nint oStride, bool add)
    {
        if (tokens == 1)
            Pass<Tile4x1>(w, rows, x, xStride, n, o, oStride, add);
        else if (TLanes.Has32Registers)
            Blocks<Tile4x6>(w, rows, x, xStride, tokens, n, o, oStride, add);
        else
            Blocks<Tile2x3>(w, rows, x, xStride, tokens, n, o, oStride, add);
    }

    [MethodImpl(Jit.Optimize)]
    private static void Blocks<TTile>(float* w, int rows, float* x, nint xStride, int tokens, int n, float* o, nint oStride, bool add)
        where TTile : struct, ITile
    {
        int block = Math.Max(8, BlockFloats / n & ~7);
        for (int i = 0, count; i < rows; i += count)
        {
            count = Math.Min(block, rows - i);
            float* from = w + (nint)i * n;
            int t = 0;
            for (; t + TTile.Tokens <= tokens; t += TTile.Tokens)
                Pass<TTile>(from, count, x + t * xStride, xStride, n, o + t * oStride + i, oStride, add);
            for (; t < tokens; t++)
                Pass<Tile4x1>(from, count, x + t * xStride, xStride, n, o + t * oStride + i, oStride, add);
        }
    }

    // All rows for the tokens of one tile. The rows of a tile lie far apart: each is a stream of its own, long enough for the
    // processor to prefetch. Neighbouring rows would be streams of one row each, which AMD's prefetcher does not follow
    // (decode of stories110M's shape on one thread of an EPYC: 30 tokens/s with neighbours, 54 so).
    [MethodImpl(Jit.Optimize)]
    private static void Pass<TTile>(float* w, int rows, float* x, nint xStride, int n, float* o, nint oStride, bool add)
        where TTile : struct, ITile
    {
        int apart = rows / TTile.Rows;
        nint wApart = (nint)apart * n;
        for (int i = 0; i < apart; i++)
            TTile.Run(w + (nint)i * n, wApart, x, xStride, n, o + i, apart, oStride, add);
        for (int i = TTile.Rows * apart; i < rows; i++)
        {
            for (int t = 0; t < TTile.Tokens; t++)
            {
                float* to = o + t * oStride + i;
                float dot = Dot(w + (nint)i * n, x + t * xStride, n);
                *to = add ? *to + dot : dot;
            }
        }
    }

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

    /// <summary>Decode.</summary>
    private struct Tile4x1 : ITile
    {
        public static int Rows => 4;
        public static int Tokens => 1;

        [MethodImpl(Jit.Optimize)]
        public static void Run(float* w, nint wApart, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add)
        {
            float* w1 = w + wApart, w2 = w1 + wApart, w3 = w2 + wApart;
            TLanes a = TLanes.Create(0), b = a, c = a, d = a;
            int j = 0;
            for (; j + Lanes.Count <= n; j += Lanes.Count)
            {
                TLanes v = TLanes.Load(x + j); // one row is loaded after another, for kernels with few registers
                a = TLanes.FusedMultiplyAdd(TLanes.Load(w + j), v, a);
                b = TLanes.FusedMultiplyAdd(TLanes.Load(w1 + j), v, b);
                c = TLanes.FusedMultiplyAdd(TLanes.Load(w2 + j), v, c);
                d = TLanes.FusedMultiplyAdd(TLanes.Load(w3 + j), v, d);
            }
            if (j < n)
            {
                TLanes v = Values(x + j, n - j);
                a = TLanes.FusedMultiplyAdd(Weights(w + j, n - j), v, a);
                b = TLanes.FusedMultiplyAdd(Weights(w1 + j, n - j), v, b);
                c = TLanes.FusedMultiplyAdd(Weights(w2 + j, n - j), v, c);
                d = TLanes.FusedMultiplyAdd(Weights(w3 + j, n - j), v, d);
            }
            Write(o, apart, TLanes.Sum(a, b, c, d), add);
        }
    }

    /// <summary>Prefill with 16 registers.</summary>
    private struct Tile2x3 : ITile
    {
        public static int Rows => 2;
        public static int Tokens => 3;

        [MethodImpl(Jit.Optimize)]
        public static void Run(float* w, nint wApart, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add)
        {
            float* w1 = w + wApart, x1 = x + xStride, x2 = x1 + xStride;
            TLanes a0 = TLanes.Create(0), a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0;
            int j = 0;
            for (; j + Lanes.Count <= n; j += Lanes.Count)
            {
                TLanes a = TLanes.Load(w + j), b = TLanes.Load(w1 + j);
                Column(a, b, TLanes.Load(x + j), ref a0, ref b0);
                Column(a, b, TLanes.Load(x1 + j), ref a1, ref b1);
                Column(a, b, TLanes.Load(x2 + j), ref a2, ref b2);
            }
            if (j < n)
            {
                TLanes a = Weights(w + j, n - j), b = Weights(w1 + j, n - j);
                Column(a, b, Values(x + j, n - j), ref a0, ref b0);
                Column(a, b, Values(x1 + j, n - j), ref a1, ref b1);
                Column(a, b, Values(x2 + j, n - j), ref a2, ref b2);
            }
            Vector128<float> first = TLanes.Sum(a0, b0, a1, b1), last = TLanes.Sum(a2, b2, a2, b2);
            Write(o, apart, first[0], first[1], add);
            Write(o + oStride, apart, first[2], first[3], add);
            Write(o + 2 * oStride, apart, last[0], last[1], add);
        }
    }

    /// <summary>Prefill with 32 registers.</summary>
    private struct Tile4x6 : ITile
    {
        public static int Rows => 4;
        public static int Tokens => 6;

        [MethodImpl(Jit.Optimize)]
        public static void Run(float* w, nint wApart, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add)
        {
            float* w1 = w + wApart, w2 = w1 + wApart, w3 = w2 + wApart;
            float* x1 = x + xStride, x2 = x1 + xStride, x3 = x2 + xStride, x4 = x3 + xStride, x5 = x4 + xStride;
            TLanes a0 = TLanes.Create(0), b0 = a0, c0 = a0, d0 = a0, a1 = a0, b1 = a0, c1 = a0, d1 = a0, a2 = a0, b2 = a0, c2 = a0, d2 = a0;
            TLanes a3 = a0, b3 = a0, c3 = a0, d3 = a0, a4 = a0, b4 = a0, c4 = a0, d4 = a0, a5 = a0, b5 = a0, c5 = a0, d5 = a0;
            int j = 0;
            for (; j + Lanes.Count <= n; j += Lanes.Count)
            {
                TLanes a = TLanes.Load(w + j), b = TLanes.Load(w1 + j), c = TLanes.Load(w2 + j), d = TLanes.Load(w3 + j);
                Column(a, b, c, d, TLanes.Load(x + j), ref a0, ref b0, ref c0, ref d0);
                Column(a, b, c, d, TLanes.Load(x1 + j), ref a1, ref b1, ref c1, ref d1);
                Column(a, b, c, d, TLanes.Load(x2 + j), ref a2, ref b2, ref c2, ref d2);
                Column(a, b, c, d, TLanes.Load(x3 + j), ref a3, ref b3, ref c3, ref d3);
                Column(a, b, c, d, TLanes.Load(x4 + j), ref a4, ref b4, ref c4, ref d4);
                Column(a, b, c, d, TLanes.Load(x5 + j), ref a5, ref b5, ref c5, ref d5);
            }
            if (j < n)
            {
                int rest = n - j;
                TLanes a = Weights(w + j, rest), b = Weights(w1 + j, rest), c = Weights(w2 + j, rest), d = Weights(w3 + j, rest);
                Column(a, b, c, d, Values(x + j, rest), ref a0, ref b0, ref c0, ref d0);
                Column(a, b, c, d, Values(x1 + j, rest), ref a1, ref b1, ref c1, ref d1);
                Column(a, b, c, d, Values(x2 + j, rest), ref a2, ref b2, ref c2, ref d2);
                Column(a, b, c, d, Values(x3 + j, rest), ref a3, ref b3, ref c3, ref d3);
                Column(a, b, c, d, Values(x4 + j, rest), ref a4, ref b4, ref c4, ref d4);
                Column(a, b, c, d, Values(x5 + j, rest), ref a5, ref b5, ref c5, ref d5);
            }
            Write(o, apart, TLanes.Sum(a0, b0, c0, d0), add);
            Write(o + oStride, apart, TLanes.Sum(a1, b1, c1, d1), add);
            Write(o + 2 * oStride, apart, TLanes.Sum(a2, b2, c2, d2), add);
            Write(o + 3 * oStride, apart, TLanes.Sum(a3, b3, c3, d3), add);
            Write(o + 4 * oStride, apart, TLanes.Sum(a4, b4, c4, d4), add);
            Write(o + 5 * oStride, apart, TLanes.Sum(a5, b5, c5, d5), add);
        }
    }

    // One token's column of a tile.
    [MethodImpl(Jit.Inline)]
    private static void Column(TLanes wa, TLanes wb, TLanes wc, TLanes wd, TLanes x, ref TLanes a, ref TLanes b, ref TLanes c, ref TLanes d)
    {
        a = TLanes.FusedMultiplyAdd(wa, x, a);
        b = TLanes.FusedMultiplyAdd(wb, x, b);
        c = TLanes.FusedMultiplyAdd(wc, x, c);
        d = TLanes.FusedMultiplyAdd(wd, x, d);
    }

    [MethodImpl(Jit.Inline)]
    private static void Column(TLanes wa, TLanes wb, TLanes x, ref TLanes a, ref TLanes b)
    {
        a = TLanes.FusedMultiplyAdd(wa, x, a);
        b = TLanes.FusedMultiplyAdd(wb, x, b);
    }

    // Results of rows that lie apart.
    [MethodImpl(Jit.Inline)]
    private static void Write(float* o, nint apart, Vector128<float> dots, bool add)
    {
        Write(o, apart, dots[0], dots[1], add);
        Write(o + 2 * apart, apart, dots[2], dots[3], add);
    }

    [MethodImpl(Jit.Inline)]
    private static void Write(float* o, nint apart, float a, float b, bool add)
    {
        o[0] = add ? o[0] + a : a;
        o[apart] = add ? o[apart] + b : b;
    }
}
