using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) in float32. Each of the rows * tokens dot products has sixteen lanes of
/// its own: lane l takes the elements j with j mod 16 = l in increasing j by fused multiply-add from +0, then the halving
/// tree. Tiles of rows and tokens only share what they load.
/// </summary>
internal static unsafe class MatMul<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Lanes = ILanes<TLanes>.Count;

    // Weights of one pass over the tokens; they stay in the second cache while the tokens come and go.
    private const int BlockFloats = 48 * 1024;

    /// <summary>o[t * oStride + i] = (add ? o[t * oStride + i] : 0) + sum of w[i * wStride + j] * x[t * xStride + j].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* w, nint wStride, int rows, float* x, nint xStride, int tokens, int n, float* o, nint oStride, bool add)
    {
        if (tokens == 1)
        {
            Pass(w, wStride, rows, x, xStride, tokens, n, o, oStride, add);
            return;
        }
        int block = Math.Max(8, BlockFloats / n & ~7);
        for (int i = 0; i < rows; i += block)
        {
            int count = Math.Min(block, rows - i);
            int tile = TLanes.HasRoomFor24 ? 6 : 3;
            int t = 0;
            for (; t + tile <= tokens; t += tile)
                Pass(w + i * wStride, wStride, count, x + t * xStride, xStride, tile, n, o + t * oStride + i, oStride, add);
            for (; t < tokens; t++)
                Pass(w + i * wStride, wStride, count, x + t * xStride, xStride, 1, n, o + t * oStride + i, oStride, add);
        }
    }

    // All rows of a block for 6, 3 or 1 tokens. Rows that go together lie far apart: each is a stream of its own, long enough
    // for the processor to fetch ahead of it. Neighbours would be streams of a row each, which some processors do not follow.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pass(float* w, nint wStride, int rows, float* x, nint xStride, int tokens, int n, float* o, nint oStride, bool add)
    {
        int streams = tokens switch { 1 => 4, 6 => 4, _ => 2 }, apart = rows / streams;
        nint wApart = apart * wStride;
        for (int i = 0; i < apart; i++)
        {
            float* row = w + i * wStride;
            if (tokens == 1)
                Tile4x1(row, wApart, x, n, o + i, apart, add);
            else if (TLanes.HasRoomFor24)
                Tile4x6(row, wApart, x, xStride, n, o + i, apart, oStride, add);
            else
                Tile2x3(row, wApart, x, xStride, n, o + i, apart, oStride, add);
        }
        for (int i = streams * apart; i < rows; i++)
        {
            for (int t = 0; t < tokens; t++)
            {
                float* to = o + t * oStride + i;
                float dot = Dot(w + i * wStride, x + t * xStride, n);
                *to = add ? *to + dot : dot;
            }
        }
    }

    /// <summary>One dot product in the canonical order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot(float* w, float* x, int n)
    {
        TLanes sum = TLanes.Create(0);
        int j = 0;
        for (; j + Lanes <= n; j += Lanes)
            sum = TLanes.FusedMultiplyAdd(TLanes.Load(w + j), TLanes.Load(x + j), sum);
        if (j < n)
            sum = TLanes.FusedMultiplyAdd(Weights(w + j, n - j), Values(x + j, n - j), sum);
        return TLanes.Sum(sum);
    }

    // The lanes beyond a row's end get -0 * 0, the one product that leaves any sum as it is, even -0.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Weights(float* w, int count) => TLanes.LoadPartial(w, count, -0f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Values(float* x, int count) => TLanes.LoadPartial(x, count, 0f);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x1(float* w, nint wStride, float* x, int n, float* o, nint apart, bool add)
    {
        float* w1 = w + wStride, w2 = w1 + wStride, w3 = w2 + wStride;
        TLanes a = TLanes.Create(0), b = a, c = a, d = a;
        int j = 0;
        for (; j + Lanes <= n; j += Lanes)
        {
            TLanes v = TLanes.Load(x + j); // and one row after another, for kernels with few registers
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

    // Elements 0 to 3 go to rows that lie apart.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* o, nint apart, Vector128<float> dots, bool add)
    {
        Write(o, apart, dots[0], dots[1], add);
        Write(o + 2 * apart, apart, dots[2], dots[3], add);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2x3(float* w, nint wStride, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add)
    {
        float* w1 = w + wStride, x1 = x + xStride, x2 = x1 + xStride;
        TLanes a0 = TLanes.Create(0), a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0;
        int j = 0;
        for (; j + Lanes <= n; j += Lanes)
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* o, nint apart, float a, float b, bool add)
    {
        o[0] = add ? o[0] + a : a;
        o[apart] = add ? o[apart] + b : b;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x6(float* w, nint wStride, float* x, nint xStride, int n, float* o, nint apart, nint oStride, bool add)
    {
        float* w1 = w + wStride, w2 = w1 + wStride, w3 = w2 + wStride;
        float* x1 = x + xStride, x2 = x1 + xStride, x3 = x2 + xStride, x4 = x3 + xStride, x5 = x4 + xStride;
        TLanes a0 = TLanes.Create(0), b0 = a0, c0 = a0, d0 = a0, a1 = a0, b1 = a0, c1 = a0, d1 = a0, a2 = a0, b2 = a0, c2 = a0, d2 = a0;
        TLanes a3 = a0, b3 = a0, c3 = a0, d3 = a0, a4 = a0, b4 = a0, c4 = a0, d4 = a0, a5 = a0, b5 = a0, c5 = a0, d5 = a0;
        int j = 0;
        for (; j + Lanes <= n; j += Lanes)
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Column(TLanes wa, TLanes wb, TLanes wc, TLanes wd, TLanes x, ref TLanes a, ref TLanes b, ref TLanes c, ref TLanes d)
    {
        a = TLanes.FusedMultiplyAdd(wa, x, a);
        b = TLanes.FusedMultiplyAdd(wb, x, b);
        c = TLanes.FusedMultiplyAdd(wc, x, c);
        d = TLanes.FusedMultiplyAdd(wd, x, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Column(TLanes wa, TLanes wb, TLanes x, ref TLanes a, ref TLanes b)
    {
        a = TLanes.FusedMultiplyAdd(wa, x, a);
        b = TLanes.FusedMultiplyAdd(wb, x, b);
    }
}
