namespace Llama2.Fast.Kernels;

/// <summary>
/// Prefill: sixteen rows of blocks, unpacked to 16 bits once for all tokens. Each int of a vector is a row's, so that the integer of a
/// group is complete where it is scaled. The bits are those of <see cref="MatMulBlocks{TDots, TRows, TBlocks}"/>.
/// </summary>
internal static unsafe class BlockTile<TRows, TBlocks>
    where TRows : struct, IRows<TRows>
    where TBlocks : struct, IBlocks
{
    public const int Rows = 16, Tokens = 6; // in registers of 256 bits: 12 accumulators, 2 of weights, 1 of activations
    public const int MaxTiles = 4;          // of tokens, which meet a group while it is in L1

    private const int Alignment = 64;
    private const int Width = 8;                       // floats of a vector of 256 bits
    private const int Steps = BlockUnit.GroupSize / 2; // of two weights of each row
    private const int GroupWeights = BlockUnit.GroupSize * Rows;
    private const int Lanes = BlockUnit.Groups * Tokens * Rows;

    /// <summary>A unit of the rows.</summary>
    private struct Packed
    {
        public fixed short Weights[BlockUnit.Groups * GroupWeights]; // (groups, steps, rows, 2)
        public fixed float Scales[BlockUnit.Groups * Rows];          // (groups, rows)
        public fixed float Minima[BlockUnit.Groups * Rows];          // with their sign changed
        public fixed int OfScales[2 * BlockUnit.Groups * Rows];      // (groups, 2, rows) where parts have integers, else (groups, rows)
        public fixed int OfMinima[2 * BlockUnit.Groups * Rows];
    }

    /// <summary>Floats of working memory.</summary>
    public static long MemoryCount(int columns) => Units(columns) * (long)(sizeof(Packed) / sizeof(float));

    private static int Units(int columns) => 1 + (columns - 1) / BlockUnit.Length;

    /// <summary>Unpacks rows that lie <paramref name="rowBytes"/> apart.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Pack(byte* w, long rowBytes, int columns, float* memory)
    {
        Packed* packed = (Packed*)memory;
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
                        BlockRest<TBlocks>.Copy(from + i * apart, left, rest + i * TBlocks.UnitBytes);
                    from = rest;
                    apart = TBlocks.UnitBytes;
                }
                for (int g = 0; g < BlockUnit.Groups; g++)
                    PackWeights(from, apart, g, packed->Weights + g * GroupWeights + row * 2);
                for (int i = 0; i < 4; i++)
                    PackScales(from + i * apart, packed, row + i);
            }
        }
    }

    // A group of four rows.
    [MethodImpl(Jit.Inline)]
    private static void PackWeights(byte* w, nint apart, int group, short* to)
    {
        (Vector256<float> a0, Vector256<float> a1) = Weights(w, group);
        (Vector256<float> b0, Vector256<float> b1) = Weights(w + apart, group);
        (Vector256<float> c0, Vector256<float> c1) = Weights(w + 2 * apart, group);
        (Vector256<float> d0, Vector256<float> d1) = Weights(w + 3 * apart, group);
        Transpose(a0.GetLower(), b0.GetLower(), c0.GetLower(), d0.GetLower(), to);
        Transpose(a0.GetUpper(), b0.GetUpper(), c0.GetUpper(), d0.GetUpper(), to + GroupWeights / 4);
        Transpose(a1.GetLower(), b1.GetLower(), c1.GetLower(), d1.GetLower(), to + GroupWeights / 2);
        Transpose(a1.GetUpper(), b1.GetUpper(), c1.GetUpper(), d1.GetUpper(), to + GroupWeights / 4 * 3);
    }

    // Of 16 bits, in pairs.
    [MethodImpl(Jit.Inline)]
    private static (Vector256<float> First, Vector256<float> Last) Weights(byte* w, int group)
    {
        Vector256<byte> weights = TBlocks.Weights(w, group);
        if (TBlocks.IsSigned)
        {
            (Vector256<short> lower, Vector256<short> upper) = Vector256.Widen(weights.AsSByte());
            return (lower.AsSingle(), upper.AsSingle());
        }
        (Vector256<ushort> first, Vector256<ushort> last) = Vector256.Widen(weights);
        Vector256<ushort> bias = Vector256.Create((ushort)TBlocks.Bias);
        return ((first - bias).AsSingle(), (last - bias).AsSingle());
    }

    [MethodImpl(Jit.Inline)]
    private static void Transpose(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d, short* to)
    {
        Horizontal.Transpose(ref a, ref b, ref c, ref d);
        a.AsInt16().Store(to);
        b.AsInt16().Store(to + 2 * Rows);
        c.AsInt16().Store(to + 4 * Rows);
        d.AsInt16().Store(to + 6 * Rows);
    }

    [MethodImpl(Jit.Inline)]
    private static void PackScales(byte* w, Packed* packed, int row)
    {
        (Vector256<float> scales, Vector256<float> minima) = TBlocks.Floats(w);
        Scatter(scales.AsInt32(), (int*)packed->Scales + row, Rows);
        if (TBlocks.HasMinima)
            Scatter((-minima).AsInt32(), (int*)packed->Minima + row, Rows);
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

    /// <summary>Some tiles of six tokens meet packed rows.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Multiply(float* memory, BlockActivations x, int token, int tiles, float* o, nint oStride, bool add)
    {
        byte* stack = stackalloc byte[Alignment + sizeof(float) * (MaxTiles * Lanes + 2 * Tokens * Rows)];
        float* lanes = (float*)((nint)(stack + Alignment - 1) & -Alignment); // (tiles, groups, tokens, rows)
        int* dots = (int*)(lanes + MaxTiles * Lanes);                        // (parts, tokens, rows)
        new Span<float>(lanes, tiles * Lanes).Clear();
        Packed* packed = (Packed*)memory;
        BlockUnit* unit = x.Row(token);
        for (int u = 0; u < Units(x.Length); u++, packed++, unit++)
        {
            for (int g = 0; g < BlockUnit.Groups; g++)
            {
                for (int t = 0; t < tiles; t++)
                    Group(packed, g, unit + t * Tokens * x.RowUnits, x.RowUnits, dots, lanes + t * Lanes + g * Tokens * Rows);
            }
        }
        for (int t = 0; t < tiles * Tokens; t++, o += oStride)
        {
            float* l = lanes + t / Tokens * Lanes + t % Tokens * Rows;
            for (int row = 0; row < Rows; row += Width)
            {
                Vector256<float> even = Lane(l + row, 0) + Lane(l + row, 4) + (Lane(l + row, 2) + Lane(l + row, 6));
                Vector256<float> odd = Lane(l + row, 1) + Lane(l + row, 5) + (Lane(l + row, 3) + Lane(l + row, 7));
                (add ? Vector256.Load(o + row) + (even + odd) : even + odd).Store(o + row);
            }
        }
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Lane(float* lanes, int group) => Vector256.Load(lanes + group * Tokens * Rows);

    [MethodImpl(Jit.Inline)]
    private static void Group(Packed* packed, int group, BlockUnit* x, nint apart, int* dots, float* lanes)
    {
        int* weights = (int*)(packed->Weights + group * GroupWeights), values = (int*)(x->Values + group * BlockUnit.GroupSize);
        if (TBlocks.Scale == Shared.Part)
        {
            Dots(weights, Steps / 2, values, apart, dots);
            Dots(weights + Steps / 2 * Rows, Steps / 2, values + Steps / 2, apart, dots + Tokens * Rows);
        }
        else
            Dots(weights, Steps, values, apart, dots);
        Scale(packed, group, x, apart, dots, lanes);
    }

    // The sums of products of some steps, for six tokens.
    [MethodImpl(Jit.Optimize)]
    private static void Dots(int* w, int steps, int* x, nint apart, int* dots)
    {
        apart *= sizeof(BlockUnit) / sizeof(int);
        int* x1 = x + apart, x2 = x1 + apart, x3 = x2 + apart, x4 = x3 + apart, x5 = x4 + apart;
        TRows a = default, b = default, c = default, d = default, e = default, f = default;
        for (int j = 0; j < steps; j++, w += Rows)
        {
            TRows weights = TRows.Load(w);
            a = TRows.AddProducts(a, weights, x[j]);
            b = TRows.AddProducts(b, weights, x1[j]);
            c = TRows.AddProducts(c, weights, x2[j]);
            d = TRows.AddProducts(d, weights, x3[j]);
            e = TRows.AddProducts(e, weights, x4[j]);
            f = TRows.AddProducts(f, weights, x5[j]);
        }
        TRows.Store(dots, a);
        TRows.Store(dots + Rows, b);
        TRows.Store(dots + 2 * Rows, c);
        TRows.Store(dots + 3 * Rows, d);
        TRows.Store(dots + 4 * Rows, e);
        TRows.Store(dots + 5 * Rows, f);
    }

    // A group of the rows meets the tokens.
    [MethodImpl(Jit.Optimize)]
    private static void Scale(Packed* packed, int group, BlockUnit* x, nint apart, int* dots, float* lanes)
    {
        float* scales = packed->Scales + group * Rows, minima = packed->Minima + group * Rows;
        int part = (TBlocks.Scale == Shared.Part ? 2 : 1) * group * Rows, ofPart = group / 4 * BlockUnit.Groups + group % 4;
        TRows first = TRows.Load(packed->OfScales + part), second = TRows.Load(packed->OfScales + part + Rows);
        TRows minFirst = TRows.Load(packed->OfMinima + part), minSecond = TRows.Load(packed->OfMinima + part + Rows);
        for (int t = 0; t < Tokens; t++, x += apart, dots += Rows, lanes += Rows)
        {
            TRows dot = TRows.Load(dots);
            if (TBlocks.Scale != Shared.Block)
                dot *= first;
            if (TBlocks.Scale == Shared.Part)
                dot += TRows.Load(dots + Tokens * Rows) * second;
            float scale = x->Scales[group];
            TRows.AddScaled(lanes, dot, scales, scale);
            if (TBlocks.HasMinima)
            {
                TRows min = TBlocks.Scale == Shared.Part
                    ? minFirst * TRows.Create(x->Parts[ofPart]) + minSecond * TRows.Create(x->Parts[ofPart + 4])
                    : TRows.Create(x->Sums[group]);
                if (TBlocks.Scale == Shared.Group)
                    min *= minFirst;
                TRows.AddScaled(lanes, min, minima, scale);
            }
        }
    }
}
