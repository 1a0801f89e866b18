namespace Llama2.Fast.Kernels;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) of int8 in groups, bit for bit Simple's: a dot product goes through its groups in order
/// and adds of each the exact int32 sum, as a float, times the weights' scale, times the activations'.
/// </summary>
internal static unsafe class MatMulInt8<TInt8> where TInt8 : struct, IInt8<TInt8>
{
    // A tile of packed rows has 12 accumulators, which with 2 registers of weights and 1 of activations fit in 16.
    private const int TileRegisters = 2, MaxTokens = 6;

    // by their tokens, from one on
    private static readonly delegate*<sbyte*, float*, Matrix, QuantizedActivations, int, float*, float*, nint, bool, void>[] Tiles =
        [&Tile<One>, &Tile<Two>, &Tile<Three>, &Tile<Four>, &Tile<Five>, &Tile<Six>];

    private static int TileRows => TileRegisters * TInt8.Lanes;

    /// <summary>Working memory of <see cref="Multiply"/>, in floats: the packed rows of a tile, their scales, and its results.</summary>
    public static long ScratchCount(Matrix w) =>
        TileRows * ((long)w.Columns / sizeof(float) + w.Columns / w.GroupSize + MaxTokens);

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> scratch)
    {
        int i = 0;
        QuantizedActivations int8 = x.Int8!;
        if (w.HasWholeGroups)
        {
            if (x.Count > 1 && w.GroupSize <= Int8Starts.MaxGroupSize)
                i = MultiplySeveral(w, first, rows, x, o, oStride, add, scratch.EnsureCount(ScratchCount(w)));
            int apart = (rows - i) / 4; // as in float32
            for (int t = 0; t < x.Count; t++)
                FourTimes(w, first + i, apart, int8, x.First + t, o + t * oStride + i, add);
            i += 4 * apart;
        }
        for (; i < rows; i++)
        {
            for (int t = 0; t < x.Count; t++)
            {
                float* to = o + t * oStride + i;
                float dot = AnyRow(w, first + i, int8.Values(x.First + t), int8.Scales(x.First + t));
                *to = add ? *to + dot : dot;
            }
        }
    }

    // All rows that are whole tiles; returns how many.
    private static int MultiplySeveral(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, float* memory)
    {
        QuantizedActivations int8 = x.Int8!;
        if (x.Count <= TransposedRows<TInt8>.MaxTokens)
        {
            if (TInt8.CanTransposeRows)
                return TransposedRows<TInt8>.Multiply(w, first, rows, int8, x.First, x.Count, o, oStride, add, memory);
            if (TInt8.Depth == 2) // packed rows of int16 take 1.4 times as long for four tokens, as long for eight
                return TransposedRows<Int8Avx2>.Multiply(w, first, rows, int8, x.First, x.Count, o, oStride, add, memory);
        }
        int i = 0;
        for (; i + TileRows <= rows; i += TileRows)
            Block(w, first + i, int8, x.First, x.Count, o + i, oStride, add, memory);
        return i;
    }

    /// <summary>Prepares a quantised row of n activations for prefill: as int16, and summed, where this kernel needs that.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Pack(QuantizedActivations x, int row, int n)
    {
        sbyte* values = x.Values(row);
        if (TInt8.Depth == 2)
        {
            short* words = x.Words(row);
            for (int j = 0; j < n; j++)
                words[j] = values[j];
        }
        if (x.HasWholeGroups)
            Int8Starts.Fill(values, n, x.GroupSize, TInt8.Bias, x.Starts(row));
    }

    // Decode: four rows at a time, which lie far apart.
    [MethodImpl(Jit.Optimize)]
    private static void FourTimes(Matrix w, int row, int apart, QuantizedActivations x, int token, float* o, bool add)
    {
        for (int i = 0; i < apart; i++)
            FourRows(w, row + i, apart, x, token, o + i, add);
    }

    /// <summary>The sums of one token and four rows.</summary>
    private struct Column
    {
        public TInt8 A, B, C, D;
    }

    // As they lie in memory, a register along each.
    [MethodImpl(Jit.Optimize)]
    private static void FourRows(Matrix w, int row, nint apart, QuantizedActivations x, int token, float* o, bool add)
    {
        int n = w.Columns, groupSize = w.GroupSize, groups = n / groupSize, step = TInt8.Lanes * TInt8.Depth;
        sbyte* values = w.Values + (nint)row * n, xValues = x.Values(token);
        float* scales = w.Scales + (nint)row * groups, xScales = x.Scales(token);
        int* starts = x.Starts(token);
        nint wApart = apart * n, scalesApart = apart * groups;
        Vector128<float> sum = default;
        for (int g = 0; g < groups; g++, values += groupSize, xValues += groupSize, scales++, xScales++, starts++)
        {
            Column sums = default;
            int j = 0;
            for (; j + step <= groupSize; j += step)
                Step(values + j, wApart, xValues + j, whole: true, ref sums);
            if (j < groupSize)
                Step(values + j, wApart, xValues + j, whole: false, ref sums);
            Vector128<float> scale = Vector128.Create(scales[0], scales[scalesApart], scales[2 * scalesApart], scales[3 * scalesApart]);
            sum += Scaled(sums, starts, scale, xScales);
        }
        Horizontal.Scatter(sum, o, apart, 4, add);
    }

    // A register of each row, or the last sixteen elements of a group.
    [MethodImpl(Jit.Inline)]
    private static void Step(sbyte* w, nint wApart, sbyte* x, bool whole, ref Column sums)
    {
        Prefetch.Rows(w, wApart);
        TInt8 lanes = Load(x, whole);
        sums.A = TInt8.Dot(sums.A, TInt8.AddBias(Load(w, whole)), lanes);
        sums.B = TInt8.Dot(sums.B, TInt8.AddBias(Load(w + wApart, whole)), lanes);
        sums.C = TInt8.Dot(sums.C, TInt8.AddBias(Load(w + 2 * wApart, whole)), lanes);
        sums.D = TInt8.Dot(sums.D, TInt8.AddBias(Load(w + 3 * wApart, whole)), lanes);
    }

    [MethodImpl(Jit.Inline)] private static TInt8 Load(sbyte* p, bool whole) => whole ? TInt8.Load(p) : TInt8.LoadSixteen(p);

    [MethodImpl(Jit.Inline)]
    private static Vector128<float> Scaled(Column sums, int* start, Vector128<float> scale, float* xScale)
    {
        Vector128<int> dots = TInt8.Sum(sums.A, sums.B, sums.C, sums.D);
        if (TInt8.Bias != 0)
            dots += Vector128.Create(*start) - Vector128.Create(Int8Starts.Zero);
        return Vector128.ConvertToSingle(dots) * scale * Vector128.Create(*xScale);
    }

    // Prefill: a lane a row, so that a group's sum is complete where it is scaled. The rows are packed once for all tokens.
    [MethodImpl(Jit.Optimize)]
    private static void Block(
        Matrix w, int row, QuantizedActivations x, int token, int tokens, float* o, nint oStride, bool add, float* scratch)
    {
        int groups = w.Columns / w.GroupSize;
        sbyte* packed = (sbyte*)scratch;
        float* scales = scratch + (nint)TileRows * (w.Columns / sizeof(float)), sums = scales + (nint)TileRows * groups;
        Pack(w, row, packed, scales);
        for (int t = 0, together; t < tokens; t += together)
        {
            together = TileTokens.Next(tokens - t, MaxTokens);
            Tiles[together - 1](packed, scales, w, x, token + t, sums, o + t * oStride, oStride, add);
        }
    }

    /// <summary>
    /// packed[(s * rows + i) * depth] is what row i has for step s, each int8 with the bias; scales[g * rows + i] is the scale of its group
    /// g. Four rows of four ints are transposed at once.
    /// </summary>
    [MethodImpl(Jit.Optimize)]
    private static void Pack(Matrix w, int row, sbyte* packed, float* scales)
    {
        int groups = w.Columns / w.GroupSize, rows = TileRows;
        nint n = w.Columns;
        for (int i = 0; i < rows; i += 4)
        {
            sbyte* from = w.Values + (row + i) * n, to = packed + i * TInt8.Depth;
            for (int j = 0; j < n; j += Vector128<sbyte>.Count)
            {
                Prefetch.Line(from + rows * n + 4 * j); // the same part of the next tile's rows
                Vector128<float> a = Biased(from + j), b = Biased(from + n + j), c = Biased(from + 2 * n + j), d = Biased(from + 3 * n + j);
                Horizontal.Transpose(ref a, ref b, ref c, ref d);
                StoreFourRows(a, to, rows);
                StoreFourRows(b, to + 4 * rows, rows);
                StoreFourRows(c, to + 8 * rows, rows);
                StoreFourRows(d, to + 12 * rows, rows);
                to += 16 * rows;
            }
            Horizontal.Transpose(w.Scales + (row + i) * (nint)groups, groups, scales + i, rows);
        }
    }

    // Adding 128 to a byte flips its highest bit.
    [MethodImpl(Jit.Inline)]
    private static Vector128<float> Biased(sbyte* w) => (Vector128.Load(w) ^ Vector128.Create((sbyte)TInt8.Bias)).AsSingle();

    // Four numbers of each of four rows, for one step or for two.
    [MethodImpl(Jit.Inline)]
    private static void StoreFourRows(Vector128<float> quads, sbyte* to, int rows)
    {
        if (TInt8.Depth == 4)
        {
            quads.AsSByte().Store(to);
            return;
        }
        Vector128<sbyte> halfByHalf = Vector128.Create(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        Vector128<long> halves = Vector128.Shuffle(quads.AsSByte(), halfByHalf).AsInt64();
        *(long*)to = halves[0];
        *(long*)(to + 2 * rows) = halves[1];
    }

    // A row of activations as the kernel multiplies it: each int is 4 int8 (depth 4) or 2 int16 (depth 2).
    private static int* Packed(QuantizedActivations x, int row) => TInt8.Depth == 2 ? (int*)x.Words(row) : (int*)x.Values(row);

    /// <summary>The sums of one token and the rows of a tile.</summary>
    private struct Pair
    {
        public TInt8 A, B;
    }

    // Everything is inlined, since registers do not survive a call and would be written to memory at every step.
    [MethodImpl(Jit.Optimize)]
    private static void Tile<TTokens>(
        sbyte* packed, float* scales, Matrix w, QuantizedActivations x, int token, float* sums, float* o, nint oStride, bool add)
        where TTokens : struct, ITokens
    {
        new Span<float>(sums, TTokens.Count * TileRows).Clear();
        int groupSize = w.GroupSize, groups = w.Columns / groupSize;
        nint rows = TInt8.Lanes, q = 0, apart = (nint)groups * groupSize / TInt8.Depth;
        int* x0 = Packed(x, token), x1 = x0 + apart, x2 = x1 + apart, x3 = x2 + apart, x4 = x3 + apart, x5 = x4 + apart;
        int* starts = x.Starts(token);
        float* xScales = x.Scales(token);
        for (int g = 0; g < groups; g++, scales += 2 * rows, starts++, xScales++)
        {
            Pair t0 = Start<TTokens>(0, starts, groups), t1 = Start<TTokens>(1, starts, groups), t2 = Start<TTokens>(2, starts, groups);
            Pair t3 = Start<TTokens>(3, starts, groups), t4 = Start<TTokens>(4, starts, groups), t5 = Start<TTokens>(5, starts, groups);
            for (nint end = q + groupSize / TInt8.Depth; q < end; q++, packed += 2 * rows * TInt8.Depth)
            {
                TInt8 a = TInt8.Load(packed), b = TInt8.Load(packed + rows * TInt8.Depth);
                Add(ref t0, a, b, x0[q]);
                if (TTokens.Count > 1)
                    Add(ref t1, a, b, x1[q]);
                if (TTokens.Count > 2)
                    Add(ref t2, a, b, x2[q]);
                if (TTokens.Count > 3)
                    Add(ref t3, a, b, x3[q]);
                if (TTokens.Count > 4)
                    Add(ref t4, a, b, x4[q]);
                if (TTokens.Count > 5)
                    Add(ref t5, a, b, x5[q]);
            }
            AddScaled<TTokens>(0, sums, t0, scales, xScales, groups);
            AddScaled<TTokens>(1, sums, t1, scales, xScales, groups);
            AddScaled<TTokens>(2, sums, t2, scales, xScales, groups);
            AddScaled<TTokens>(3, sums, t3, scales, xScales, groups);
            AddScaled<TTokens>(4, sums, t4, scales, xScales, groups);
            AddScaled<TTokens>(5, sums, t5, scales, xScales, groups);
        }
        for (int t = 0; t < TTokens.Count; t++, sums += TileRows, o += oStride)
            TransposedRows<TInt8>.Store(o, sums, TileRows, add);
    }

    [MethodImpl(Jit.Inline)]
    private static Pair Start<TTokens>(int token, int* starts, nint groups) where TTokens : struct, ITokens
    {
        TInt8 start = token < TTokens.Count ? TInt8.Create(starts[token * groups]) : default;
        return new() { A = start, B = start };
    }

    [MethodImpl(Jit.Inline)]
    private static void Add(ref Pair sums, TInt8 a, TInt8 b, int x)
    {
        TInt8 lanes = TInt8.Create(x);
        sums.A = TInt8.Dot(sums.A, a, lanes);
        sums.B = TInt8.Dot(sums.B, b, lanes);
    }

    [MethodImpl(Jit.Inline)]
    private static void AddScaled<TTokens>(int token, float* sums, Pair dots, float* scales, float* xScales, nint groups)
        where TTokens : struct, ITokens
    {
        if (token >= TTokens.Count)
            return;
        TInt8.AddScaled(sums + token * TileRows, dots.A, scales, xScales[token * groups]);
        TInt8.AddScaled(sums + token * TileRows + TInt8.Lanes, dots.B, scales + TInt8.Lanes, xScales[token * groups]);
    }

    // Groups of any size, which may straddle the ends of rows: a run of equal scales ends where a group of either does.
    [MethodImpl(Jit.Optimize)]
    private static float AnyRow(Matrix w, int row, sbyte* x, float* xScales)
    {
        long start = row * (long)w.Columns;
        float sum = 0;
        long group = start / w.GroupSize, left = (group + 1) * w.GroupSize - start; // of the weights
        int xLeft = w.GroupSize;                                                    // of the activations
        for (int j = 0; j < w.Columns;)
        {
            int count = (int)Math.Min(w.Columns - j, Math.Min(left, xLeft));
            int dot = Int8Scalar.Dot(w.Values + start + j, x + j, count);
            sum += dot * w.Scales[group] * *xScales;
            j += count;
            if ((left -= count) == 0)
                (group, left) = (group + 1, w.GroupSize);
            if ((xLeft -= count) == 0)
            {
                xScales++;
                xLeft = w.GroupSize;
            }
        }
        return sum;
    }
}
