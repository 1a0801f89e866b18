using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>Some heads of consecutive rows of a cache. A query of a head is a row; those that share keys and values follow one another.</summary>
internal readonly unsafe struct Heads
{
    /// <summary>The first query: (kv_heads * kv_mul, head_size); the others at <see cref="Stride"/>.</summary>
    public required float* Q { get; init; }

    /// <summary>Receives the results as the queries lie.</summary>
    public required float* O { get; init; }

    /// <summary>Floats between queries, and between results.</summary>
    public required nint Stride { get; init; }

    public required int Queries { get; init; }

    /// <summary>Of the first query, which sees the keys up to and including its own.</summary>
    public required int Position { get; init; }

    /// <summary>The first head's keys, positions <see cref="KvDim"/> apart; the other heads' lie behind.</summary>
    public required float* Keys { get; init; }

    /// <summary>The values, likewise.</summary>
    public required float* Values { get; init; }

    public required int KvDim { get; init; }

    public required int KvHeads { get; init; }

    /// <summary>Heads of a query that share keys and values.</summary>
    public required int KvMul { get; init; }

    public required int HeadSize { get; init; }

    public int Positions => Position + Queries;

    public int RowsOfKvHead => Queries * KvMul;

    public int Rows => KvHeads * RowsOfKvHead;

    /// <summary>Where a row's query lies from <see cref="Q"/>, and its result from <see cref="O"/>.</summary>
    public nint Offset(int row)
    {
        (int query, int head) = Math.DivRem(row % RowsOfKvHead, KvMul);
        return query * Stride + (row / RowsOfKvHead * KvMul + head) * HeadSize;
    }

    /// <summary>The values that a row adds up.</summary>
    public float* ValuesOf(int row) => Values + row / RowsOfKvHead * HeadSize;

    /// <summary>How many positions a row sees.</summary>
    public int Seen(int row) => Position + row % RowsOfKvHead / KvMul + 1;
}

/// <summary>
/// Attention with Simple's bits: a score adds its products first to last, sixteen positions side by side, and an element of
/// the result adds value after value. Such sums wait for their last addition, so four rows go together.
/// </summary>
internal static unsafe class Attention<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Lanes = ILanes<TLanes>.Count;
    private const int Columns = 4; // that are transposed at once

    /// <summary>Floats of working memory.</summary>
    public static int ScratchCount(in Heads heads) =>
        2 * TileCount(heads.HeadSize) + heads.Rows * (heads.HeadSize + ScoreStride(heads));

    private static int ScoreStride(in Heads heads) => heads.Positions + Lanes - 1 & -Lanes;

    private static int RowStride(int headSize) => headSize + Columns - 1 & -Columns;

    private static int TileCount(int headSize) => Lanes * RowStride(headSize);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Attend(in Heads heads, float* scratch)
    {
        int stride = ScoreStride(heads);
        float* att = scratch, sums = stackalloc float[4 * Lanes];
        int whole = heads.HeadSize / (4 * Lanes) * 4 * Lanes;
        Scores(heads, att, stride, scratch + heads.Rows * stride);
        for (int row = 0; row < heads.Rows; row += 4, att += 4 * stride)
        {
            int b = Math.Min(row + 1, heads.Rows - 1), c = Math.Min(row + 2, heads.Rows - 1), d = Math.Min(row + 3, heads.Rows - 1); // the last one again for those beyond
            float* attB = att + (b - row) * stride, attC = att + (c - row) * stride, attD = att + (d - row) * stride;
            for (int i = row; i <= d; i++)
                Nn<TLanes>.ExpOfDifferences(att + (i - row) * stride, heads.Seen(i));
            Sum(att, attB, attC, attD, heads.Seen(row), heads.Seen(b), heads.Seen(c), heads.Seen(d), sums);
            for (int i = row; i <= d; i++)
                Nn<TLanes>.Divide(att + (i - row) * stride, heads.Seen(i), sums[i - row]);

            for (int i = whole; i < heads.HeadSize; i += Lanes)
                SumRest(heads, i, row, b, c, d, att, attB, attC, attD, sums);
        }
        if (whole > 0)
            SumTiles(heads, whole, scratch, stride);
    }

    // Scores of all rows: (rows, stride). Sixteen positions go through all heads before the next sixteen, since a position's
    // keys of all heads lie together.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scores(in Heads heads, float* att, int stride, float* scratch)
    {
        int headSize = heads.HeadSize, rows = heads.RowsOfKvHead;
        float* tile = scratch, copy = tile + TileCount(headSize), q = copy + TileCount(headSize);
        for (int row = 0; row < heads.Rows; row++)
            new ReadOnlySpan<float>(heads.Q + heads.Offset(row), headSize).CopyTo(new Span<float>(q + row * headSize, headSize));
        for (int t = 0; t < heads.Positions; t += Lanes)
        {
            float* keys = heads.Keys + t * (nint)heads.KvDim;
            int first = Math.Max(0, t - heads.Position) * heads.KvMul; // rows before see none of these keys
            for (int head = 0; head < heads.KvHeads; head++)
            {
                Transpose(keys + head * headSize, heads.KvDim, Math.Min(Lanes, heads.Positions - t), headSize, copy, tile);
                int row = head * rows + first, end = (head + 1) * rows;
                for (; row + 4 <= end; row += 4)
                    Scores4(q + row * headSize, tile, headSize, att + row * stride + t, stride);
                for (; row < end; row++)
                    Scores1(q + row * headSize, tile, headSize, att + row * stride + t);
            }
        }
    }

    // tile[i * 16 + l] = keys[l * kvDim + i]. Where sixteen rows of fours would reach beyond the keys, a copy is transposed.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(float* keys, nint kvDim, int count, int headSize, float* copy, float* tile)
    {
        int stride = RowStride(headSize);
        if (count < Lanes || headSize != stride)
        {
            for (int l = 0; l < count; l++)
                new ReadOnlySpan<float>(keys + l * kvDim, headSize).CopyTo(new Span<float>(copy + l * stride, headSize));
            keys = copy;
            kvDim = stride;
        }
        for (int i = 0; i < headSize; i += Columns)
            TLanes.Transpose(keys + i, kvDim, tile + i * Lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scores4(float* q, float* tile, int headSize, float* att, nint stride)
    {
        float* q1 = q + headSize, q2 = q1 + headSize, q3 = q2 + headSize;
        TLanes a = TLanes.Create(0), b = a, c = a, d = a, root = TLanes.Create(MathF.Sqrt(headSize));
        for (int i = 0; i < headSize; i++, tile += Lanes)
        {
            TLanes key = TLanes.Load(tile);
            a += TLanes.Create(q[i]) * key;
            b += TLanes.Create(q1[i]) * key;
            c += TLanes.Create(q2[i]) * key;
            d += TLanes.Create(q3[i]) * key;
        }
        TLanes.Store(att, a / root);
        TLanes.Store(att + stride, b / root);
        TLanes.Store(att + 2 * stride, c / root);
        TLanes.Store(att + 3 * stride, d / root);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scores1(float* q, float* tile, int headSize, float* att)
    {
        TLanes a = TLanes.Create(0);
        for (int i = 0; i < headSize; i++)
            a += TLanes.Create(q[i]) * TLanes.Load(tile + i * Lanes);
        TLanes.Store(att, a / TLanes.Create(MathF.Sqrt(headSize)));
    }

    // sums[k] = sum of the first so many of vector k, first to last
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum(float* a, float* b, float* c, float* d, int na, int nb, int nc, int nd, float* sums)
    {
        float sumA = 0, sumB = 0, sumC = 0, sumD = 0;
        int t = 0;
        for (int n = Math.Min(Math.Min(na, nb), Math.Min(nc, nd)); t < n; t++)
        {
            sumA += a[t];
            sumB += b[t];
            sumC += c[t];
            sumD += d[t];
        }
        sums[0] = Rest(a, t, na, sumA);
        sums[1] = Rest(b, t, nb, sumB);
        sums[2] = Rest(c, t, nc, sumC);
        sums[3] = Rest(d, t, nd, sumD);

        static float Rest(float* x, int t, int n, float sum)
        {
            for (; t < n; t++)
                sum += x[t];
            return sum;
        }
    }

    // Sums of values by their weights: the results' elements below a multiple of four registers. Like keys, sixteen positions of all heads go before the next.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SumTiles(in Heads heads, int whole, float* att, int stride)
    {
        for (int t = 0; t < heads.Positions; t += Lanes)
        {
            nint start = t * (nint)heads.KvDim;
            for (int row = 0; row < heads.Rows; row++)
                AddTile(att + row * stride + t, Math.Min(Lanes, heads.Seen(row) - t), heads.ValuesOf(row) + start, heads.KvDim, whole, heads.O + heads.Offset(row), add: t > 0);
        }
    }

    // o[i] (+)= sum of att[t] * values[t * kvDim + i]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddTile(float* att, int n, float* values, nint kvDim, int whole, float* o, bool add)
    {
        for (int i = 0; n > 0 && i < whole; i += 4 * Lanes, o += 4 * Lanes)
        {
            TLanes a = TLanes.Create(0), b = a, c = a, d = a;
            if (add)
                (a, b, c, d) = (TLanes.Load(o), TLanes.Load(o + Lanes), TLanes.Load(o + 2 * Lanes), TLanes.Load(o + 3 * Lanes));
            float* v = values + i;
            for (int t = 0; t < n; t++, v += kvDim)
            {
                TLanes weight = TLanes.Create(att[t]);
                a += weight * TLanes.Load(v);
                b += weight * TLanes.Load(v + Lanes);
                c += weight * TLanes.Load(v + 2 * Lanes);
                d += weight * TLanes.Load(v + 3 * Lanes);
            }
            TLanes.Store(o, a);
            TLanes.Store(o + Lanes, b);
            TLanes.Store(o + 2 * Lanes, c);
            TLanes.Store(o + 3 * Lanes, d);
        }
    }

    // The same for a register or what is left of one, of four rows.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SumRest(in Heads heads, int i, int rowA, int rowB, int rowC, int rowD, float* attA, float* attB, float* attC, float* attD, float* sums)
    {
        int count = Math.Min(Lanes, heads.HeadSize - i), kvDim = heads.KvDim;
        // A whole register may be loaded for any count as long as there are values of later positions behind.
        int behind = count == Lanes ? 0 : 1 + (Lanes + kvDim - 1) / kvDim;
        int least = Math.Min(Math.Min(heads.Seen(rowA), heads.Seen(rowB)), Math.Min(heads.Seen(rowC), heads.Seen(rowD)));
        int n = Math.Max(0, Math.Min(least, heads.Positions - behind));
        SumRegister(attA, attB, attC, attD, heads.ValuesOf(rowA) + i, heads.ValuesOf(rowB) + i, heads.ValuesOf(rowC) + i, heads.ValuesOf(rowD) + i, kvDim, n, sums);
        Finish(heads, rowA, i, n, attA, sums);
        Finish(heads, rowB, i, n, attB, sums + Lanes);
        Finish(heads, rowC, i, n, attC, sums + 2 * Lanes);
        Finish(heads, rowD, i, n, attD, sums + 3 * Lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SumRegister(float* attA, float* attB, float* attC, float* attD, float* va, float* vb, float* vc, float* vd, nint kvDim, nint n, float* sums)
    {
        TLanes a = TLanes.Create(0), b = a, c = a, d = a;
        for (nint t = 0, at = 0; t < n; t++, at += kvDim)
        {
            a += TLanes.Create(attA[t]) * TLanes.Load(va + at);
            b += TLanes.Create(attB[t]) * TLanes.Load(vb + at);
            c += TLanes.Create(attC[t]) * TLanes.Load(vc + at);
            d += TLanes.Create(attD[t]) * TLanes.Load(vd + at);
        }
        TLanes.Store(sums, a);
        TLanes.Store(sums + Lanes, b);
        TLanes.Store(sums + 2 * Lanes, c);
        TLanes.Store(sums + 3 * Lanes, d);
    }

    // From position t on.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish(in Heads heads, int row, int i, int t, float* att, float* start)
    {
        int count = Math.Min(Lanes, heads.HeadSize - i);
        TLanes sum = TLanes.Load(start);
        float* v = heads.ValuesOf(row) + i + (nint)t * heads.KvDim;
        for (int n = heads.Seen(row); t < n; t++, v += heads.KvDim)
            sum += TLanes.Create(att[t]) * TLanes.LoadPartial(v, count, 0);
        TLanes.StorePartial(heads.O + heads.Offset(row) + i, sum, count);
    }
}
