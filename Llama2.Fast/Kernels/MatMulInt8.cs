namespace Llama2.Fast.Kernels;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) of int8 in groups, bit for bit Simple's: a dot product goes through its groups in order
/// and adds of each the exact int32 sum, as a float, times the weights' scale, times the activations'.
/// </summary>
internal static unsafe class MatMulInt8<TInt8> where TInt8 : struct, IInt8<TInt8>
{
    // The tile of prefill: 12 accumulators, which with 2 registers of weights and 1 of activations fit in 16.
    private const int TileRegisters = 2, TileTokens = 6;

    private static int TileRows => TileRegisters * TInt8.Lanes;

    /// <summary>Working memory of <see cref="Multiply"/>, in floats: the packed rows of a tile, their scales, and its results.</summary>
    public static long ScratchCount(Matrix w) =>
        TileRows * ((long)w.Columns / sizeof(float) + w.Columns / w.GroupSize + TileTokens);

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> scratch)
    {
        int i = 0;
        QuantizedActivations int8 = x.Int8!;
        if (w.HasWholeGroups)
        {
            if (x.Count >= TileTokens) // packing pays from one tile on: 512 x 768 for 6 tokens takes 48 us, not 72
            {
                float* memory = scratch.EnsureCount(ScratchCount(w));
                for (; i + TileRows <= rows; i += TileRows)
                    Block(w, first + i, int8, x.First, x.Count, o + i, oStride, add, memory);
            }
            // as in float32, rows far apart
            int apart = (rows - i) / 4;
            for (int end = i + apart; i < end; i++)
            {
                for (int t = 0; t < x.Count; t++)
                    FourRows(w, first + i, apart, int8, x.First + t, o + t * oStride + i, add);
            }
            i += 3 * apart;
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
        if (TInt8.Bias == 0 || x.GroupSize % Lanes.Count != 0 || n % x.GroupSize != 0)
            return;
        int* sums = x.Sums(row);
        for (int* end = sums + n / x.GroupSize; sums < end; sums++)
        {
            *sums = 0;
            for (int j = 0; j < x.GroupSize; j += Lanes.Count, values += Lanes.Count)
            {
                (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(Vector128.Load(values));
                *sums += Vector128.Sum(lower + upper);
            }
        }
    }

    // Decode: four rows as they lie in memory, a register along each.
    [MethodImpl(Jit.Optimize)]
    private static void FourRows(Matrix w, int row, nint apart, QuantizedActivations x, int token, float* o, bool add)
    {
        int n = w.Columns, groupSize = w.GroupSize, groups = n / groupSize;
        sbyte* values = w.Values + (nint)row * n, xValues = x.Values(token);
        float* scales = w.Scales + (nint)row * groups, xScales = x.Scales(token);
        nint scalesApart = apart * groups;
        Vector128<float> sum = default;
        for (int g = 0; g < groups; g++, values += groupSize, xValues += groupSize, scales++)
        {
            Vector128<int> dots = Dot(values, apart * n, xValues, groupSize);
            if (TInt8.Bias != 0)
                dots -= Vector128.Create(TInt8.Bias * x.Sums(token)[g]);
            Vector128<float> scale = Vector128.Create(scales[0], scales[scalesApart], scales[2 * scalesApart], scales[3 * scalesApart]);
            sum += Vector128.ConvertToSingle(dots) * scale * Vector128.Create(xScales[g]);
        }
        for (int i = 0; i < 4; i++, o += apart)
            *o = add ? *o + sum[i] : sum[i];
    }

    // Element i is the sum of (w[i * stride + j] + bias) * x[j] over j below n, a multiple of 16.
    [MethodImpl(Jit.Inline)]
    private static Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n)
    {
        sbyte* w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        TInt8 a = TInt8.Create(0), b = a, c = a, d = a;
        int j = 0, step = TInt8.Lanes * TInt8.Depth;
        for (; j + step <= n; j += step)
        {
            TInt8 xs = TInt8.Load(x + j);
            a = TInt8.Dot(a, TInt8.AddBias(TInt8.Load(w + j)), xs);
            b = TInt8.Dot(b, TInt8.AddBias(TInt8.Load(w1 + j)), xs);
            c = TInt8.Dot(c, TInt8.AddBias(TInt8.Load(w2 + j)), xs);
            d = TInt8.Dot(d, TInt8.AddBias(TInt8.Load(w3 + j)), xs);
        }
        if (j < n)
        {
            TInt8 xs = TInt8.LoadSixteen(x + j);
            a = TInt8.Dot(a, TInt8.AddBias(TInt8.LoadSixteen(w + j)), xs);
            b = TInt8.Dot(b, TInt8.AddBias(TInt8.LoadSixteen(w1 + j)), xs);
            c = TInt8.Dot(c, TInt8.AddBias(TInt8.LoadSixteen(w2 + j)), xs);
            d = TInt8.Dot(d, TInt8.AddBias(TInt8.LoadSixteen(w3 + j)), xs);
        }
        return TInt8.Sum(a, b, c, d);
    }

    // Prefill: a lane a row, so that a group's sum is complete where it is scaled. The rows are packed once for all tokens, but for
    // those that fill no tile.
    [MethodImpl(Jit.Optimize)]
    private static void Block(
        Matrix w, int row, QuantizedActivations x, int token, int tokens, float* o, nint oStride, bool add, float* scratch)
    {
        int groups = w.Columns / w.GroupSize, t = 0;
        sbyte* packed = (sbyte*)scratch;
        float* scales = scratch + (nint)TileRows * (w.Columns / sizeof(float)), sums = scales + (nint)TileRows * groups;
        Pack(w, row, packed, scales);
        for (; t + TileTokens <= tokens; t += TileTokens)
        {
            new Span<float>(sums, TileTokens * TileRows).Clear();
            Tile(packed, scales, groups, w.GroupSize, x, token + t, sums);
            for (int i = 0; i < TileTokens; i++)
            {
                float* from = sums + i * TileRows, to = o + (t + i) * oStride;
                for (int l = 0; l < TileRows; l += 4)
                    (add ? Vector128.Load(to + l) + Vector128.Load(from + l) : Vector128.Load(from + l)).Store(to + l);
            }
        }
        for (; t < tokens; t++)
        {
            for (int i = 0; i < TileRows / 4; i++)
                FourRows(w, row + i, TileRows / 4, x, token + t, o + t * oStride + i, add);
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
                Vector128<float> a = Biased(from + j), b = Biased(from + n + j), c = Biased(from + 2 * n + j), d = Biased(from + 3 * n + j);
                Horizontal.Transpose(ref a, ref b, ref c, ref d);
                StoreFourRows(a, to, rows);
                StoreFourRows(b, to + 4 * rows, rows);
                StoreFourRows(c, to + 8 * rows, rows);
                StoreFourRows(d, to + 12 * rows, rows);
                to += 16 * rows;
            }
            for (int l = 0; l < 4; l++)
            {
                float* fromScales = w.Scales + (row + i + l) * (nint)groups;
                for (int g = 0; g < groups; g++)
                    scales[g * rows + i + l] = fromScales[g];
            }
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

    // Everything is inlined, since registers do not survive a call and would be written to memory at every step.
    [MethodImpl(Jit.Optimize)]
    private static void Tile(sbyte* packed, float* scales, int groups, int groupSize, QuantizedActivations x, int token, float* sums)
    {
        int* x0 = Packed(x, token), x1 = Packed(x, token + 1), x2 = Packed(x, token + 2);
        int* x3 = Packed(x, token + 3), x4 = Packed(x, token + 4), x5 = Packed(x, token + 5);
        int* xSums = x.Sums(token);
        float* xScales = x.Scales(token);
        nint stride = x.Groups, rows = TInt8.Lanes, q = 0;
        for (int g = 0; g < groups; g++, scales += 2 * rows, xSums++, xScales++)
        {
            TInt8 a0 = Start(xSums[0]), a1 = Start(xSums[stride]), a2 = Start(xSums[2 * stride]);
            TInt8 a3 = Start(xSums[3 * stride]), a4 = Start(xSums[4 * stride]), a5 = Start(xSums[5 * stride]);
            TInt8 b0 = a0, b1 = a1, b2 = a2, b3 = a3, b4 = a4, b5 = a5;
            for (nint end = q + groupSize / TInt8.Depth; q < end; q++, packed += 2 * rows * TInt8.Depth)
            {
                TInt8 a = TInt8.Load(packed), b = TInt8.Load(packed + rows * TInt8.Depth);
                Column(a, b, x0[q], ref a0, ref b0);
                Column(a, b, x1[q], ref a1, ref b1);
                Column(a, b, x2[q], ref a2, ref b2);
                Column(a, b, x3[q], ref a3, ref b3);
                Column(a, b, x4[q], ref a4, ref b4);
                Column(a, b, x5[q], ref a5, ref b5);
            }
            AddScaled(sums, a0, b0, scales, xScales[0]);
            AddScaled(sums + 2 * rows, a1, b1, scales, xScales[stride]);
            AddScaled(sums + 4 * rows, a2, b2, scales, xScales[2 * stride]);
            AddScaled(sums + 6 * rows, a3, b3, scales, xScales[3 * stride]);
            AddScaled(sums + 8 * rows, a4, b4, scales, xScales[4 * stride]);
            AddScaled(sums + 10 * rows, a5, b5, scales, xScales[5 * stride]);
        }
    }

    // The products of biased weights exceed those of the weights by the bias times the sum of the activations.
    [MethodImpl(Jit.Inline)] private static TInt8 Start(int xSum) => TInt8.Create(-TInt8.Bias * xSum);

    [MethodImpl(Jit.Inline)]
    private static void Column(TInt8 wa, TInt8 wb, int x, ref TInt8 a, ref TInt8 b)
    {
        TInt8 lanes = TInt8.Create(x);
        a = TInt8.Dot(a, wa, lanes);
        b = TInt8.Dot(b, wb, lanes);
    }

    [MethodImpl(Jit.Inline)]
    private static void AddScaled(float* sums, TInt8 a, TInt8 b, float* scales, float xScale)
    {
        TInt8.AddScaled(sums, a, scales, xScale);
        TInt8.AddScaled(sums + TInt8.Lanes, b, scales + TInt8.Lanes, xScale);
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
