using System.Numerics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// Prefill: sixteen rows of blocks, unpacked once for all tokens, a row in each element of two vectors, so that the integer of a group is
/// complete where it is scaled. The bits are those of <see cref="MatMulBlocks{TDots, TBlocks}"/>.
/// </summary>
internal static unsafe class BlockTile<TDots, TBlocks>
    where TDots : struct, IDots
    where TBlocks : struct, IBlocks
{
    public const int Rows = 16, Tokens = 6; // 12 accumulators, which with 2 registers of weights and 1 of activations fit in 16

    private const int Width = 8;                              // elements of a vector
    private const int Steps = BlockUnit.GroupSize / 4;        // of four weights of each row
    private const int GroupBytes = BlockUnit.GroupSize * Rows;

    private static int Bias => TBlocks.Bias + (TBlocks.IsSigned ? TDots.SignedBias : 0);

    /// <summary>A unit of the rows.</summary>
    private struct Packed
    {
        public fixed byte Weights[BlockUnit.Groups * GroupBytes];  // (groups, steps, rows, 4)
        public fixed float Scales[BlockUnit.Groups * Rows];        // (groups, rows)
        public fixed float Minima[BlockUnit.Groups * Rows];
        public fixed int OfScales[2 * BlockUnit.Groups * Rows];    // (groups, 2, rows) where parts have integers, else (groups, rows)
        public fixed int OfMinima[2 * BlockUnit.Groups * Rows];
    }

    /// <summary>Floats of working memory.</summary>
    public static long MemoryCount(int columns) => Units(columns) * (long)(sizeof(Packed) / sizeof(float));

    private static int Units(int columns) => 1 + (columns - 1) / BlockUnit.Length;

    /// <summary>The rows lie <paramref name="rowBytes"/> apart; the tokens fill tiles.</summary>
    public static void Multiply(
        byte* w, long rowBytes, BlockActivations x, int token, int tokens, float* o, nint oStride, bool add, float* memory)
    {
        Packed* packed = (Packed*)memory;
        Pack(w, rowBytes, x.Length, packed);
        for (int t = 0; t < tokens; t += Tokens, o += Tokens * oStride)
            Tile(packed, x, token + t, o, oStride, add);
    }

    [MethodImpl(Jit.Optimize)]
    private static void Pack(byte* w, long rowBytes, int columns, Packed* packed)
    {
        byte* rest = stackalloc byte[4 * TBlocks.UnitBytes];
        for (int u = 0; u < Units(columns); u++, packed++, w += TBlocks.UnitBytes)
        {
            int left = columns - u * BlockUnit.Length;
            for (int row = 0; row < Rows; row += 4)
            {
                byte* from = w + row * rowBytes;
                nint apart = (nint)rowBytes;
                if (left < BlockUnit.Length)
                {
                    for (int i = 0; i < 4; i++)
                        MatMulBlocks<TDots, TBlocks>.CopyRest(from + i * apart, left, rest + i * TBlocks.UnitBytes);
                    from = rest;
                    apart = TBlocks.UnitBytes;
                }
                for (int g = 0; g < BlockUnit.Groups; g++)
                    PackWeights(from, apart, g, packed->Weights + g * GroupBytes + row * 4);
                for (int i = 0; i < 4; i++)
                    PackScales(from + i * apart, packed, row + i);
            }
        }
    }

    // A group of four rows.
    [MethodImpl(Jit.Inline)]
    private static void PackWeights(byte* w, nint apart, int group, byte* to)
    {
        Vector256<float> a = Weights(w, group), b = Weights(w + apart, group);
        Vector256<float> c = Weights(w + 2 * apart, group), d = Weights(w + 3 * apart, group);
        Transpose(a.GetLower(), b.GetLower(), c.GetLower(), d.GetLower(), to);
        Transpose(a.GetUpper(), b.GetUpper(), c.GetUpper(), d.GetUpper(), to + GroupBytes / 2);
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Weights(byte* w, int group) =>
        (TBlocks.Weights(w, group) ^ Vector256.Create((byte)(TBlocks.IsSigned ? TDots.SignedBias : 0))).AsSingle();

    [MethodImpl(Jit.Inline)]
    private static void Transpose(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d, byte* to)
    {
        Horizontal.Transpose(ref a, ref b, ref c, ref d);
        a.AsByte().Store(to);
        b.AsByte().Store(to + Rows * 4);
        c.AsByte().Store(to + 2 * Rows * 4);
        d.AsByte().Store(to + 3 * Rows * 4);
    }

    [MethodImpl(Jit.Inline)]
    private static void PackScales(byte* w, Packed* packed, int row)
    {
        (Vector256<float> scales, Vector256<float> minima) = TBlocks.Floats(w);
        Scatter(scales.AsInt32(), (int*)packed->Scales + row, Rows);
        if (TBlocks.HasMinima)
            Scatter(minima.AsInt32(), (int*)packed->Minima + row, Rows);
        if (TBlocks.Scale == Shared.Group)
        {
            (Vector256<int> ofScales, Vector256<int> ofMinima) = TBlocks.OfGroups(w);
            Scatter(ofScales, packed->OfScales + row, Rows);
            Scatter(ofMinima, packed->OfMinima + row, Rows);
        }
        else if (TBlocks.Scale == Shared.Part)
        {
            ScatterParts(TBlocks.ScalesOfParts(w), packed->OfScales + row);
            if (TBlocks.HasMinima)
                ScatterParts(TBlocks.MinimaOfParts(w), packed->OfMinima + row);
        }
    }

    // Of parts 0 2 4 6 1 3 5 7, and of 8 10 12 14 9 11 13 15.
    [MethodImpl(Jit.Inline)]
    private static void ScatterParts((Vector256<int> First, Vector256<int> Last) v, int* to)
    {
        int* first = (int*)&v.First, last = (int*)&v.Last;
        for (int i = 0; i < 4; i++)
        {
            to[2 * i * Rows] = first[i];
            to[(2 * i + 1) * Rows] = first[4 + i];
            to[(8 + 2 * i) * Rows] = last[i];
            to[(9 + 2 * i) * Rows] = last[4 + i];
        }
    }

    [MethodImpl(Jit.Inline)]
    private static void Scatter(Vector256<int> v, int* to, int apart)
    {
        for (int i = 0; i < Width; i++)
            to[i * apart] = ((int*)&v)[i];
    }

    [MethodImpl(Jit.Optimize)]
    private static void Tile(Packed* packed, BlockActivations x, int token, float* o, nint oStride, bool add)
    {
        Vector256<float>* lanes = stackalloc Vector256<float>[BlockUnit.Groups * 2 * Tokens]; // (groups, tokens, rows)
        Vector256<int>* dots = stackalloc Vector256<int>[4 * Tokens];                         // (parts, tokens, rows)
        new Span<Vector256<float>>(lanes, BlockUnit.Groups * 2 * Tokens).Clear();
        BlockUnit* unit = x.Row(token);
        for (int u = 0; u < Units(x.Length); u++, packed++, unit++)
        {
            for (int g = 0; g < BlockUnit.Groups; g++)
            {
                byte* weights = packed->Weights + g * GroupBytes;
                if (TBlocks.Scale == Shared.Part)
                {
                    int part = g / 4 * BlockUnit.Groups + g % 4;
                    Dots(weights, Steps / 2, unit, x.RowUnits, g * BlockUnit.GroupSize, unit->Parts + part, dots);
                    Dots(weights + GroupBytes / 2, Steps / 2, unit, x.RowUnits, g * BlockUnit.GroupSize + BlockUnit.PartSize,
                        unit->Parts + part + 4, dots + 2 * Tokens);
                }
                else
                    Dots(weights, Steps, unit, x.RowUnits, g * BlockUnit.GroupSize, unit->Sums + g, dots);
                Scale(packed, g, 0, unit, x.RowUnits, dots, lanes + g * 2 * Tokens);
                Scale(packed, g, Width, unit, x.RowUnits, dots + 1, lanes + g * 2 * Tokens + 1);
            }
        }
        for (int t = 0; t < 2 * Tokens; t++)
        {
            Vector256<float>* l = lanes + t;
            const int Next = 2 * Tokens;
            Vector256<float> even = l[0] + l[4 * Next] + (l[2 * Next] + l[6 * Next]);
            Vector256<float> odd = l[Next] + l[5 * Next] + (l[3 * Next] + l[7 * Next]);
            float* to = o + t / 2 * oStride + t % 2 * Width;
            (add ? Vector256.Load(to) + (even + odd) : even + odd).Store(to);
        }
    }

    // The sums of products of some steps, for two vectors of rows and six tokens, without the bias.
    [MethodImpl(Jit.Optimize)]
    private static void Dots(byte* w, int steps, BlockUnit* x, nint apart, int offset, int* sums, Vector256<int>* dots)
    {
        sbyte* x0 = x->Values + offset, x1 = x[apart].Values + offset, x2 = x[2 * apart].Values + offset;
        sbyte* x3 = x[3 * apart].Values + offset, x4 = x[4 * apart].Values + offset, x5 = x[5 * apart].Values + offset;
        nint sumsApart = apart * (sizeof(BlockUnit) / sizeof(int));
        Vector256<int> a0 = Start(sums[0]), a1 = Start(sums[sumsApart]), a2 = Start(sums[2 * sumsApart]);
        Vector256<int> a3 = Start(sums[3 * sumsApart]), a4 = Start(sums[4 * sumsApart]), a5 = Start(sums[5 * sumsApart]);
        Vector256<int> b0 = a0, b1 = a1, b2 = a2, b3 = a3, b4 = a4, b5 = a5;
        for (int j = 0; j < 4 * steps; j += 4, w += 4 * Rows)
        {
            Vector256<byte> a = Vector256.Load(w), b = Vector256.Load(w + 4 * Width);
            Column(a, b, x0 + j, ref a0, ref b0);
            Column(a, b, x1 + j, ref a1, ref b1);
            Column(a, b, x2 + j, ref a2, ref b2);
            Column(a, b, x3 + j, ref a3, ref b3);
            Column(a, b, x4 + j, ref a4, ref b4);
            Column(a, b, x5 + j, ref a5, ref b5);
        }
        (dots[0], dots[1], dots[2], dots[3], dots[4], dots[5]) = (a0, b0, a1, b1, a2, b2);
        (dots[6], dots[7], dots[8], dots[9], dots[10], dots[11]) = (a3, b3, a4, b4, a5, b5);
    }

    [MethodImpl(Jit.Inline)] private static Vector256<int> Start(int sum) => Bias == 0 ? default : Vector256.Create(-Bias * sum);

    [MethodImpl(Jit.Inline)]
    private static void Column(Vector256<byte> wa, Vector256<byte> wb, sbyte* x, ref Vector256<int> a, ref Vector256<int> b)
    {
        Vector256<sbyte> four = Vector256.Create(*(int*)x).AsSByte();
        a = TDots.Add(a, wa, four, TBlocks.IsSigned);
        b = TDots.Add(b, wb, four, TBlocks.IsSigned);
    }

    // A vector of rows of a group meets the tokens; what the rows have is loaded once for all.
    [MethodImpl(Jit.Optimize)]
    private static void Scale(Packed* packed, int group, int row, BlockUnit* x, nint apart, Vector256<int>* dots, Vector256<float>* lanes)
    {
        int at = group * Rows + row, part = 2 * group * Rows + row, ofPart = group / 4 * BlockUnit.Groups + group % 4;
        Vector256<float> scales = Vector256.Load(packed->Scales + at), minima = Vector256.Load(packed->Minima + at);
        Vector256<int> first = Vector256.Load(packed->OfScales + part), second = Vector256.Load(packed->OfScales + part + Rows);
        Vector256<int> minFirst = Vector256.Load(packed->OfMinima + part), minSecond = Vector256.Load(packed->OfMinima + part + Rows);
        Vector256<float> ofGroup = Vector256.ConvertToSingle(Vector256.Load(packed->OfScales + at));
        Vector256<float> minOfGroup = Vector256.ConvertToSingle(Vector256.Load(packed->OfMinima + at));
        for (int t = 0; t < Tokens; t++, x += apart, dots += 2, lanes += 2)
        {
            Vector256<float> dot = Vector256.ConvertToSingle(
                TBlocks.Scale == Shared.Part ? dots[0] * first + dots[2 * Tokens] * second : dots[0]);
            if (TBlocks.Scale == Shared.Group)
                dot *= ofGroup;
            Vector256<float> xs = Vector256.Create(x->Scales[group]);
            Vector256<float> v = Vector256.FusedMultiplyAdd(dot, scales * xs, *lanes);
            if (TBlocks.HasMinima)
            {
                Vector256<float> min = TBlocks.Scale == Shared.Part
                    ? Vector256.ConvertToSingle(minFirst * x->Parts[ofPart] + minSecond * x->Parts[ofPart + 4])
                    : Vector256.Create((float)x->Sums[group]);
                if (TBlocks.Scale == Shared.Group)
                    min *= minOfGroup;
                v = Vector256.FusedMultiplyAdd(min, -(minima * xs), v);
            }
            *lanes = v;
        }
    }
}
