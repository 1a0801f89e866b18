namespace Llama2.Fast.Kernels;

/// <summary>
/// Some key/value heads of consecutive tokens of a cache. Each token has a query for each of its query heads; the queries of a key/value
/// head are numbered together.
/// </summary>
internal unsafe struct Heads
{
    public float* Q, O;         // the first token's queries and results: (kv_heads * kv_mul, head_size)
    public nint Stride;         // floats between tokens, of queries and of results
    public int Tokens;
    public int Position;        // of the first token, whose queries see the keys up to and including its own
    public float* Keys, Values; // of the first head: (positions, kv_dim); the other heads follow
    public int KvDim, KvHeads, HeadSize;
    public int KvMul;           // query heads that share a key/value head

    public readonly int Positions => Position + Tokens;
    public readonly int QueriesOfKvHead => Tokens * KvMul;
    public readonly int Queries => KvHeads * QueriesOfKvHead;
}

/// <summary>
/// Attention with Simple's bits: a score adds its products first to last, sixteen positions side by side, and an element of the result adds
/// value after value. A sum in fixed order is one chain of dependent additions, so four queries are interleaved to hide its latency.
/// </summary>
internal static unsafe class Attention<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Columns = 4; // that are transposed at once

    private readonly struct Query
    {
        public readonly float* Q, O;   // the query and its result: (head_size,)
        public readonly float* Att;    // its scores: (positions,)
        public readonly float* Values; // that it adds up: (positions, kv_dim)
        public readonly int Seen;      // positions that it sees

        public Query(in Heads heads, int query, float* att)
        {
            (int kvHead, int rest) = Math.DivRem(query, heads.QueriesOfKvHead);
            (int token, int head) = Math.DivRem(rest, heads.KvMul);
            nint offset = token * heads.Stride + (kvHead * heads.KvMul + head) * heads.HeadSize;
            Q = heads.Q + offset;
            O = heads.O + offset;
            Att = att + (nint)query * ScoreStride(heads);
            Values = heads.Values + kvHead * heads.HeadSize;
            Seen = heads.Position + token + 1;
        }
    }

    /// <summary>Working memory in floats: the scores of each query, two tiles of keys, and a copy of the queries.</summary>
    public static long ScratchCount(in Heads heads) =>
        heads.Queries * ((long)ScoreStride(heads) + heads.HeadSize) + 2L * TileCount(heads.HeadSize);

    private static int ScoreStride(in Heads heads) => Lanes.RoundUp(heads.Positions);
    private static int ColumnStride(int headSize) => headSize + Columns - 1 & -Columns;
    private static int TileCount(int headSize) => Lanes.Count * ColumnStride(headSize);

    /// <summary>Attention of all queries, into their results.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Attend(in Heads heads, NativeBuffer<float> scratch)
    {
        float* att = scratch.EnsureCount(ScratchCount(heads)), sums = stackalloc float[4 * Lanes.Count];
        Query* quad = stackalloc Query[4];
        int tiled = heads.HeadSize / (4 * Lanes.Count) * 4 * Lanes.Count; // elements of a result that are summed four registers at a time
        Scores(heads, att, att + heads.Queries * (nint)ScoreStride(heads));
        for (int first = 0; first < heads.Queries; first += 4)
        {
            int count = Math.Min(4, heads.Queries - first);
            for (int i = 0; i < 4; i++)
                quad[i] = new Query(heads, first + Math.Min(i, count - 1), att); // the last one again for those beyond it
            for (int i = 0; i < count; i++)
                Nn<TLanes>.ExpMinusMax(quad[i].Att, quad[i].Seen);
            Sum(quad, sums);
            for (int i = 0; i < count; i++)
                Nn<TLanes>.Divide(quad[i].Att, quad[i].Seen, sums[i]);
            for (int i = tiled; i < heads.HeadSize; i += Lanes.Count)
                SumRegister(heads, quad, i, sums);
        }
        if (tiled > 0)
            SumTiles(heads, tiled, att);
    }

    // Scores of all queries: (queries, stride). Sixteen positions go through all heads before the next sixteen, since a position's
    // keys of all heads lie together.
    [MethodImpl(Jit.Optimize)]
    private static void Scores(in Heads heads, float* att, float* scratch)
    {
        int headSize = heads.HeadSize, queries = heads.QueriesOfKvHead;
        nint stride = ScoreStride(heads);
        float* tile = scratch, copy = tile + TileCount(headSize), q = copy + TileCount(headSize);
        for (int query = 0; query < heads.Queries; query++)
            new Span<float>(new Query(heads, query, att).Q, headSize).CopyTo(new Span<float>(q + (nint)query * headSize, headSize));
        for (int t = 0; t < heads.Positions; t += Lanes.Count)
        {
            float* keys = heads.Keys + (nint)t * heads.KvDim;
            int first = Math.Max(0, t - heads.Position) * heads.KvMul; // queries before see none of these keys
            for (int head = 0; head < heads.KvHeads; head++)
            {
                PrefetchNext(keys + head * headSize, heads.KvDim, headSize);
                Transpose(keys + head * headSize, heads.KvDim, Math.Min(Lanes.Count, heads.Positions - t), headSize, copy, tile);
                nint query = head * queries + first, end = (head + 1) * queries;
                for (; query + 4 <= end; query += 4)
                    Scores4(q + query * headSize, tile, headSize, att + query * stride + t, stride);
                for (; query < end; query++)
                    Scores1(q + query * headSize, tile, headSize, att + query * stride + t);
            }
        }
    }

    // Asks for a head's keys of the sixteen positions that follow: its elements of different positions lie too far apart for the
    // processor's own prefetchers (8 rows of int8 at position 500: 23.4 ms without, 21.9 with; the same for values gains nothing).
    [MethodImpl(Jit.Inline)]
    private static void PrefetchNext(float* keys, nint kvDim, int headSize)
    {
        keys += Lanes.Count * kvDim;
        for (int t = 0; t < Lanes.Count; t++, keys += kvDim)
        {
            for (int i = 0; i < headSize; i += Prefetch.LineBytes / sizeof(float))
                Prefetch.Line(keys + i);
        }
    }

    // tile[i * 16 + l] = keys[l * kvDim + i]. A copy is transposed where sixteen rows of four columns would reach beyond the keys.
    [MethodImpl(Jit.Optimize)]
    private static void Transpose(float* keys, nint kvDim, int count, int headSize, float* copy, float* tile)
    {
        int stride = ColumnStride(headSize);
        if (count < Lanes.Count || headSize != stride)
        {
            for (int l = 0; l < count; l++)
                new ReadOnlySpan<float>(keys + l * kvDim, headSize).CopyTo(new Span<float>(copy + l * stride, headSize));
            keys = copy;
            kvDim = stride;
        }
        for (int i = 0; i < headSize; i += Columns)
            TLanes.Transpose(keys + i, kvDim, tile + i * Lanes.Count);
    }

    [MethodImpl(Jit.Optimize)]
    private static void Scores4(float* q, float* tile, int headSize, float* att, nint stride)
    {
        float* q1 = q + headSize, q2 = q1 + headSize, q3 = q2 + headSize;
        TLanes a = TLanes.Create(0), b = a, c = a, d = a, root = TLanes.Create(MathF.Sqrt(headSize));
        for (int i = 0; i < headSize; i++, tile += Lanes.Count)
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

    [MethodImpl(Jit.Optimize)]
    private static void Scores1(float* q, float* tile, int headSize, float* att)
    {
        TLanes a = TLanes.Create(0);
        for (int i = 0; i < headSize; i++)
            a += TLanes.Create(q[i]) * TLanes.Load(tile + i * Lanes.Count);
        TLanes.Store(att, a / TLanes.Create(MathF.Sqrt(headSize)));
    }

    // Sums of the scores of four queries, first to last.
    [MethodImpl(Jit.Optimize)]
    private static void Sum(Query* quad, float* sums)
    {
        float* attA = quad[0].Att, attB = quad[1].Att, attC = quad[2].Att, attD = quad[3].Att;
        float a = 0, b = 0, c = 0, d = 0;
        int n = SeenByAll(quad);
        for (int t = 0; t < n; t++)
        {
            a += attA[t];
            b += attB[t];
            c += attC[t];
            d += attD[t];
        }
        sums[0] = Rest(attA, n, quad[0].Seen, a);
        sums[1] = Rest(attB, n, quad[1].Seen, b);
        sums[2] = Rest(attC, n, quad[2].Seen, c);
        sums[3] = Rest(attD, n, quad[3].Seen, d);

        static float Rest(float* x, int t, int n, float sum)
        {
            for (; t < n; t++)
                sum += x[t];
            return sum;
        }
    }

    private static int SeenByAll(Query* quad) => Math.Min(Math.Min(quad[0].Seen, quad[1].Seen), Math.Min(quad[2].Seen, quad[3].Seen));

    // The elements of the results that fill four registers: sums of the values by their weights. As with keys, sixteen positions go
    // through all heads before the next sixteen.
    [MethodImpl(Jit.Optimize)]
    private static void SumTiles(in Heads heads, int tiled, float* att)
    {
        for (int t = 0; t < heads.Positions; t += Lanes.Count)
        {
            for (int i = 0; i < heads.Queries; i++)
            {
                Query query = new(heads, i, att);
                float* values = query.Values + (nint)t * heads.KvDim;
                AddTile(query.Att + t, Math.Min(Lanes.Count, query.Seen - t), values, heads.KvDim, tiled, query.O, add: t > 0);
            }
        }
    }

    // o[i] (+)= sum of att[t] * values[t * kvDim + i]
    [MethodImpl(Jit.Optimize)]
    private static void AddTile(float* att, int n, float* values, nint kvDim, int tiled, float* o, bool add)
    {
        for (int i = 0; n > 0 && i < tiled; i += 4 * Lanes.Count, o += 4 * Lanes.Count)
        {
            TLanes a = TLanes.Create(0), b = a, c = a, d = a;
            if (add)
            {
                (a, b) = (TLanes.Load(o), TLanes.Load(o + Lanes.Count));
                (c, d) = (TLanes.Load(o + 2 * Lanes.Count), TLanes.Load(o + 3 * Lanes.Count));
            }
            float* v = values + i;
            for (int t = 0; t < n; t++, v += kvDim)
            {
                TLanes weight = TLanes.Create(att[t]);
                a += weight * TLanes.Load(v);
                b += weight * TLanes.Load(v + Lanes.Count);
                c += weight * TLanes.Load(v + 2 * Lanes.Count);
                d += weight * TLanes.Load(v + 3 * Lanes.Count);
            }
            TLanes.Store(o, a);
            TLanes.Store(o + Lanes.Count, b);
            TLanes.Store(o + 2 * Lanes.Count, c);
            TLanes.Store(o + 3 * Lanes.Count, d);
        }
    }

    // The same for one register of the results of four queries, or for the head's last elements, which fill none.
    [MethodImpl(Jit.Optimize)]
    private static void SumRegister(in Heads heads, Query* quad, int i, float* sums)
    {
        nint kvDim = heads.KvDim;
        // A whole register may be loaded all the same, as long as values of later positions follow.
        int behind = heads.HeadSize - i >= Lanes.Count ? 0 : 1 + (Lanes.Count + heads.KvDim - 1) / heads.KvDim;
        int n = Math.Max(0, Math.Min(SeenByAll(quad), heads.Positions - behind));
        float* attA = quad[0].Att, attB = quad[1].Att, attC = quad[2].Att, attD = quad[3].Att;
        float* valuesA = quad[0].Values + i, valuesB = quad[1].Values + i, valuesC = quad[2].Values + i, valuesD = quad[3].Values + i;
        TLanes a = TLanes.Create(0), b = a, c = a, d = a;
        for (nint t = 0, at = 0; t < n; t++, at += kvDim)
        {
            a += TLanes.Create(attA[t]) * TLanes.Load(valuesA + at);
            b += TLanes.Create(attB[t]) * TLanes.Load(valuesB + at);
            c += TLanes.Create(attC[t]) * TLanes.Load(valuesC + at);
            d += TLanes.Create(attD[t]) * TLanes.Load(valuesD + at);
        }
        TLanes.Store(sums, a);
        TLanes.Store(sums + Lanes.Count, b);
        TLanes.Store(sums + 2 * Lanes.Count, c);
        TLanes.Store(sums + 3 * Lanes.Count, d);
        for (int query = 0; query < 4; query++)
            Finish(quad[query], heads.KvDim, i, n, Math.Min(Lanes.Count, heads.HeadSize - i), sums + query * Lanes.Count);
    }

    // Adds the values from position t on, and writes the result.
    [MethodImpl(Jit.Optimize)]
    private static void Finish(in Query query, nint kvDim, int i, int t, int count, float* start)
    {
        TLanes sum = TLanes.Load(start);
        float* v = query.Values + i + t * kvDim;
        for (; t < query.Seen; t++, v += kvDim)
            sum += TLanes.Create(query.Att[t]) * TLanes.LoadPartial(v, count, 0);
        TLanes.StorePartial(query.O + i, sum, count);
    }
}
