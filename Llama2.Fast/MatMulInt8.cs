using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) of int8 in groups, bit for bit Simple's: a dot product goes through its
/// groups in order and adds of each the exact int32 sum, as a float, times the weights' scale, times the activations'.
/// </summary>
internal static unsafe class MatMulInt8<TInt8> where TInt8 : struct, IInt8<TInt8>
{
    private const int TileTokens = 6;

    // Fewer tokens do not pay for the packing of the rows.
    private const int LeastTokensToPack = 2 * TileTokens;

    // Two registers of rows at once.
    private static int BlockRows => 2 * TInt8.Rows;

    /// <summary>Working memory of <see cref="Multiply"/>: a block of rows packed, its scales, and the results of a tile, in floats.</summary>
    public static int ScratchCount(in Matrix w) => BlockRows * (w.Columns / sizeof(float) + w.Columns / w.GroupSize + TileTokens);

    /// <summary>Rows from <paramref name="first"/> on of <paramref name="w"/>, times some of the activations.</summary>
    /// <param name="w">The matrix.</param>
    /// <param name="first">Its first row.</param>
    /// <param name="rows">How many rows.</param>
    /// <param name="x">The activations.</param>
    /// <param name="token">The first row of activations.</param>
    /// <param name="tokens">How many of them.</param>
    /// <param name="o">Receives o[t * oStride + i] for row first + i.</param>
    /// <param name="oStride">Floats between tokens of <paramref name="o"/>.</param>
    /// <param name="add">Whether to add to what is there.</param>
    /// <param name="scratch">Working memory, <see cref="ScratchCount"/> floats.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(in Matrix w, int first, int rows, QuantizedActivations x, int token, int tokens, float* o, nint oStride, bool add, float* scratch)
    {
        int i = 0;
        if (w.HasWholeGroups)
        {
            if (tokens >= LeastTokensToPack)
            {
                for (; i + BlockRows <= rows; i += BlockRows)
                    Block(w, first + i, x, token, tokens, o + i, oStride, add, scratch);
            }
            // as in float32, rows far apart
            int apart = (rows - i) / 4;
            for (int end = i + apart; i < end; i++)
            {
                for (int t = 0; t < tokens; t++)
                    FourRows(w, first + i, apart, x.Values(token + t), x.Scales(token + t), o + t * oStride + i, add);
            }
            i += 3 * apart;
        }
        for (; i < rows; i++)
        {
            for (int t = 0; t < tokens; t++)
            {
                float* to = o + t * oStride + i;
                float dot = AnyRow(w, first + i, x.Values(token + t), x.Scales(token + t));
                *to = add ? *to + dot : dot;
            }
        }
    }

    // Decode: rows as they lie, along whose groups the registers go.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows(in Matrix w, int row, nint apart, sbyte* x, float* xScales, float* o, bool add)
    {
        nint n = w.Columns;
        int groupSize = w.GroupSize, groups = w.Columns / groupSize;
        sbyte* values = w.Values + row * n;
        float* scales = w.Scales + row * (nint)groups;
        nint scalesApart = apart * groups;
        Vector128<float> sum = default;
        for (int g = 0; g < groups; g++, values += groupSize, x += groupSize, scales++)
        {
            Vector128<float> dots = Vector128.ConvertToSingle(TInt8.Dot(values, apart * n, x, groupSize));
            Vector128<float> scale = Vector128.Create(scales[0], scales[scalesApart], scales[2 * scalesApart], scales[3 * scalesApart]);
            sum += dots * scale * Vector128.Create(xScales[g]);
        }
        for (int i = 0; i < 4; i++, o += apart)
            *o = add ? *o + sum[i] : sum[i];
    }

    // Prefill: a row a lane, so that a group's sum is complete where it is needed. The rows are packed once for all tokens.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block(in Matrix w, int row, QuantizedActivations x, int token, int tokens, float* o, nint oStride, bool add, float* scratch)
    {
        int groups = w.Columns / w.GroupSize;
        sbyte* packed = (sbyte*)scratch;
        float* scales = scratch + BlockRows * (w.Columns / sizeof(float)), sums = scales + BlockRows * groups;
        Pack(w, row, packed, scales);
        for (int t = 0; t < tokens;)
        {
            int count = tokens - t >= TileTokens ? TileTokens : 1;
            new Span<float>(sums, count * BlockRows).Clear();
            if (count == TileTokens)
                Tile2x6(packed, scales, groups, w.GroupSize, x, token + t, sums);
            else
                Tile2x1(packed, scales, groups, w.GroupSize, x, token + t, sums);
            for (int i = 0; i < count; i++)
            {
                float* from = sums + i * BlockRows, to = o + (t + i) * oStride;
                for (int l = 0; l < BlockRows; l += 4)
                    (add ? Vector128.Load(to + l) + Vector128.Load(from + l) : Vector128.Load(from + l)).Store(to + l);
            }
            t += count;
        }
    }

    /// <summary>
    /// packed[(s * rows + i) * depth] is what row i has for step s, each int8 with the bias; scales[g * rows + i] is the scale of its group g.
    /// Four rows of four ints are transposed at once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(in Matrix w, int row, sbyte* packed, float* scales)
    {
        int groups = w.Columns / w.GroupSize, rows = BlockRows;
        Vector128<sbyte> bias = Vector128.Create((sbyte)TInt8.Bias); // adding 128 to a byte flips its highest bit
        for (int i = 0; i < rows; i += 4)
        {
            sbyte* from = w.Values + (row + i) * (nint)w.Columns, to = packed + i * TInt8.Depth;
            for (int j = 0; j < w.Columns; j += Vector128<sbyte>.Count)
            {
                Vector128<float> a = (Vector128.Load(from + j) ^ bias).AsSingle(), b = (Vector128.Load(from + w.Columns + j) ^ bias).AsSingle();
                Vector128<float> c = (Vector128.Load(from + 2 * (nint)w.Columns + j) ^ bias).AsSingle(), d = (Vector128.Load(from + 3 * (nint)w.Columns + j) ^ bias).AsSingle();
                Tree.Transpose(ref a, ref b, ref c, ref d);
                StoreQuads(a, to, rows);
                StoreQuads(b, to + 4 * rows, rows);
                StoreQuads(c, to + 8 * rows, rows);
                StoreQuads(d, to + 12 * rows, rows);
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

    // Four numbers of each of four rows, for one step or for two.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreQuads(Vector128<float> quads, sbyte* to, int rows)
    {
        if (TInt8.Depth == 4)
        {
            quads.AsSByte().Store(to);
            return;
        }
        Vector128<long> halves = Vector128.Shuffle(quads.AsSByte(), Vector128.Create(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)).AsInt64();
        *(long*)to = halves[0];
        *(long*)(to + 2 * rows) = halves[1];
    }

    // No call may come between: registers do not survive one, and would be written to memory at every step.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2x6(sbyte* packed, float* scales, int groups, int groupSize, QuantizedActivations x, int token, float* sums)
    {
        int* x0 = x.Steps(token, TInt8.Depth), x1 = x.Steps(token + 1, TInt8.Depth), x2 = x.Steps(token + 2, TInt8.Depth);
        int* x3 = x.Steps(token + 3, TInt8.Depth), x4 = x.Steps(token + 4, TInt8.Depth), x5 = x.Steps(token + 5, TInt8.Depth);
        int* xSums = x.Sums(token);
        float* xScales = x.Scales(token);
        nint stride = x.ScaleStride, rows = TInt8.Rows, q = 0;
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2x1(sbyte* packed, float* scales, int groups, int groupSize, QuantizedActivations x, int token, float* sums)
    {
        int* x0 = x.Steps(token, TInt8.Depth), xSums = x.Sums(token);
        float* xScales = x.Scales(token);
        nint rows = TInt8.Rows, q = 0;
        for (int g = 0; g < groups; g++, scales += 2 * rows)
        {
            TInt8 a = Start(xSums[g]), b = a;
            for (nint end = q + groupSize / TInt8.Depth; q < end; q++, packed += 2 * rows * TInt8.Depth)
                Column(TInt8.Load(packed), TInt8.Load(packed + rows * TInt8.Depth), x0[q], ref a, ref b);
            AddScaled(sums, a, b, scales, xScales[g]);
        }
    }

    // The biased weights' products exceed what is wanted by the bias times the sum of the activations.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TInt8 Start(int xSum) => TInt8.Create(-TInt8.Bias * xSum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Column(TInt8 wa, TInt8 wb, int x, ref TInt8 a, ref TInt8 b)
    {
        TInt8 lanes = TInt8.Create(x);
        a = TInt8.Dot(a, wa, lanes);
        b = TInt8.Dot(b, wb, lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddScaled(float* sums, TInt8 a, TInt8 b, float* scales, float xScale)
    {
        TInt8.AddScaled(sums, a, scales, xScale);
        TInt8.AddScaled(sums + TInt8.Rows, b, scales + TInt8.Rows, xScale);
    }

    // Groups of any size, which may straddle the ends of rows: a run of equal scales ends where a group of either does.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float AnyRow(in Matrix w, int row, sbyte* x, float* xScales)
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
