namespace Llama2.Fast.Kernels;

/// <summary>
/// Several tokens: sixteen rows of blocks, their weights transposed once for all tokens. Each int of a vector is a row's, so that the
/// integer of a group is complete where it is scaled. The bits are those of <see cref="MatMulBlocks{TDots, TRows, TBlocks}"/>.
/// </summary>
internal static unsafe class BlockTile<TRows, TBlocks>
    where TRows : struct, IRows<TRows>
    where TBlocks : struct, IBlocks
{
    public const int Rows = 16;
    public const int MaxTiles = 4; // of tokens, which meet a group while it is in L1
    public static int MaxTokens => TRows.MaxTokens;

    private const int Alignment = 64;
    private const int Width = 8;                       // floats of a vector of 256 bits
    private const int Steps = BlockUnit.GroupSize / 2; // of two weights of each row
    private const int StepWeights = 2 * Rows, GroupWeights = BlockUnit.GroupSize * Rows;
    private const int PackedRows = 8;                  // at once
    private static int Lanes => BlockUnit.Groups * MaxTokens * Rows;

    /// <summary>A unit of the rows.</summary>
    private struct Packed
    {
        public fixed sbyte Weights[BlockUnit.Groups * GroupWeights]; // (groups, steps, rows, 2)
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
        byte* rest = stackalloc byte[PackedRows * TBlocks.UnitBytes];
        for (int u = 0; u < Units(columns); u++, packed++, w += TBlocks.UnitBytes)
        {
            int left = columns - u * BlockUnit.Length;
            for (int row = 0; row < Rows; row += PackedRows)
            {
                byte* from = w + row * rowBytes;
                nint apart = (nint)rowBytes;
                if (left < BlockUnit.Length)
                {
                    for (int i = 0; i < PackedRows; i++)
                        BlockRest<TBlocks>.Copy(from + i * apart, left, rest + i * TBlocks.UnitBytes);
                    from = rest;
                    apart = TBlocks.UnitBytes;
                }
                for (int g = 0; g < BlockUnit.Groups; g++)
                    PackWeights(from, apart, g, packed->Weights + g * GroupWeights + row * 2);
                PackScales(from, apart, packed, row);
                PackScales(from + PackedRows / 2 * apart, apart, packed, row + PackedRows / 2);
            }
        }
    }

    // A group of eight rows.
    [MethodImpl(Jit.Inline)]
    private static void PackWeights(byte* w, nint apart, int group, sbyte* to)
    {
        var (low0, low2, low4, low6) = StepsOfFour(w, apart, group);
        var (high0, high2, high4, high6) = StepsOfFour(w + 4 * apart, apart, group);
        StoreSteps(low0, high0, to);
        StoreSteps(low2, high2, to + 2 * StepWeights);
        StoreSteps(low4, high4, to + 4 * StepWeights);
        StoreSteps(low6, high6, to + 6 * StepWeights);
    }

    // Of four rows: steps 0 1 8 9, 2 3 10 11, 4 5 12 13, and 6 7 14 15.
    [MethodImpl(Jit.Inline)]
    private static (Vector256<float>, Vector256<float>, Vector256<float>, Vector256<float>) StepsOfFour(byte* w, nint apart, int group)
    {
        (Vector256<float> ab0, Vector256<float> ab4) = Horizontal.ZipPairs(Weights(w, group), Weights(w + apart, group));
        (Vector256<float> cd0, Vector256<float> cd4) = Horizontal.ZipPairs(Weights(w + 2 * apart, group), Weights(w + 3 * apart, group));
        (Vector256<float> step0, Vector256<float> step2) = Horizontal.Zip(ab0, cd0);
        (Vector256<float> step4, Vector256<float> step6) = Horizontal.Zip(ab4, cd4);
        return (step0, step2, step4, step6);
    }

    // Signed.
    [MethodImpl(Jit.Inline)]
    private static Vector256<byte> Weights(byte* w, int group) =>
        TBlocks.IsSigned ? TBlocks.Weights(w, group) : TBlocks.Weights(w, group) - Vector256.Create((byte)TBlocks.Bias);

    // Steps 0 1 8 9 of eight rows.
    [MethodImpl(Jit.Inline)]
    private static void StoreSteps(Vector256<float> low, Vector256<float> high, sbyte* to)
    {
        (Vector256<float> step0, Vector256<float> step1) = Horizontal.ZipTwos(low, high);
        step0.GetLower().AsSByte().Store(to);
        step1.GetLower().AsSByte().Store(to + StepWeights);
        step0.GetUpper().AsSByte().Store(to + 8 * StepWeights);
        step1.GetUpper().AsSByte().Store(to + 9 * StepWeights);
    }

    // A unit of four rows: with eight there would be too few registers.
    [MethodImpl(Jit.Optimize)]
    private static void PackScales(byte* w, nint apart, Packed* packed, int row)
    {
        (Vector256<float> a, Vector256<float> minA) = TBlocks.Floats(w);
        (Vector256<float> b, Vector256<float> minB) = TBlocks.Floats(w + apart);
        (Vector256<float> c, Vector256<float> minC) = TBlocks.Floats(w + 2 * apart);
        (Vector256<float> d, Vector256<float> minD) = TBlocks.Floats(w + 3 * apart);
        StoreGroups(a, b, c, d, packed->Scales + row);
        if (TBlocks.HasMinima)
            StoreGroups(-minA, -minB, -minC, -minD, packed->Minima + row);
        if (TBlocks.Scale == Shared.Group)
        {
            (Vector256<int> ofA, Vector256<int> ofMinA) = TBlocks.OfGroups(w);
            (Vector256<int> ofB, Vector256<int> ofMinB) = TBlocks.OfGroups(w + apart);
            (Vector256<int> ofC, Vector256<int> ofMinC) = TBlocks.OfGroups(w + 2 * apart);
            (Vector256<int> ofD, Vector256<int> ofMinD) = TBlocks.OfGroups(w + 3 * apart);
            StoreGroups(ofA.AsSingle(), ofB.AsSingle(), ofC.AsSingle(), ofD.AsSingle(), (float*)packed->OfScales + row);
            StoreGroups(ofMinA.AsSingle(), ofMinB.AsSingle(), ofMinC.AsSingle(), ofMinD.AsSingle(), (float*)packed->OfMinima + row);
        }
        else if (TBlocks.Scale == Shared.Part)
        {
            StoreParts(TBlocks.ScalesOfParts(w), TBlocks.ScalesOfParts(w + apart), TBlocks.ScalesOfParts(w + 2 * apart),
                TBlocks.ScalesOfParts(w + 3 * apart), (float*)packed->OfScales + row);
            if (TBlocks.HasMinima)
            {
                StoreParts(TBlocks.MinimaOfParts(w), TBlocks.MinimaOfParts(w + apart), TBlocks.MinimaOfParts(w + 2 * apart),
                    TBlocks.MinimaOfParts(w + 3 * apart), (float*)packed->OfMinima + row);
            }
        }
    }

    // Each vector is a row's, each of its elements a group's.
    [MethodImpl(Jit.Inline)]
    private static void StoreGroups(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d, float* to) =>
        StoreColumns(a, b, c, d, to, Rows, 4 * Rows);

    // Of parts 0 2 4 6 1 3 5 7, and of 8 10 12 14 9 11 13 15.
    [MethodImpl(Jit.Inline)]
    private static void StoreParts((Vector256<int> First, Vector256<int> Last) a, (Vector256<int> First, Vector256<int> Last) b,
        (Vector256<int> First, Vector256<int> Last) c, (Vector256<int> First, Vector256<int> Last) d, float* to)
    {
        StoreColumns(a.First.AsSingle(), b.First.AsSingle(), c.First.AsSingle(), d.First.AsSingle(), to, 2 * Rows, Rows);
        StoreColumns(a.Last.AsSingle(), b.Last.AsSingle(), c.Last.AsSingle(), d.Last.AsSingle(), to + 8 * Rows, 2 * Rows, Rows);
    }

    // The columns of the lower halves, and those of the upper ones.
    [MethodImpl(Jit.Inline)]
    private static void StoreColumns(
        Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d, float* to, int apart, int upper)
    {
        StoreColumns(a.GetLower(), b.GetLower(), c.GetLower(), d.GetLower(), to, apart);
        StoreColumns(a.GetUpper(), b.GetUpper(), c.GetUpper(), d.GetUpper(), to + upper, apart);
    }

    [MethodImpl(Jit.Inline)]
    private static void StoreColumns(
        Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d, float* to, int apart)
    {
        Horizontal.Transpose(ref a, ref b, ref c, ref d);
        a.Store(to);
        b.Store(to + apart);
        c.Store(to + 2 * apart);
        d.Store(to + 3 * apart);
    }

    /// <summary>Some tiles, each of the same number of tokens, meet packed rows.</summary>
    /// <param name="next">Memory that will be read next: it is fetched meanwhile.</param>
    /// <param name="nextBytes">Its length.</param>
    [MethodImpl(Jit.Optimize), SkipLocalsInit]
    public static void Multiply(float* memory, BlockActivations x, int token, int tiles, int tokens, float* o, nint oStride, bool add,
        byte* next, long nextBytes)
    {
        long part = nextBytes / (Units(x.Length) * BlockUnit.Groups);
        byte* stack = stackalloc byte[Alignment + sizeof(float) * (MaxTiles * Lanes + 2 * MaxTokens * Rows)];
        float* lanes = (float*)((nint)(stack + Alignment - 1) & -Alignment); // (tiles, groups, tokens, rows)
        int* dots = (int*)(lanes + MaxTiles * Lanes);                        // (parts, tokens, rows)
        new Span<float>(lanes, tiles * Lanes).Clear();
        Packed* packed = (Packed*)memory;
        BlockUnit* unit = x.Row(token);
        for (int u = 0; u < Units(x.Length); u++, packed++, unit++)
        {
            for (int g = 0; g < BlockUnit.Groups; g++)
            {
                for (byte* end = next + part; next < end; next += Prefetch.LineBytes)
                    Prefetch.Line(next);
                for (int t = 0; t < tiles; t++)
                    Group(packed, g, unit + t * tokens * x.RowUnits, x.RowUnits, tokens, dots, lanes + t * Lanes + g * MaxTokens * Rows);
            }
        }
        for (int t = 0; t < tiles * tokens; t++, o += oStride)
        {
            float* l = lanes + t / tokens * Lanes + t % tokens * Rows;
            for (int row = 0; row < Rows; row += Width)
            {
                Vector256<float> even = Lane(l + row, 0) + Lane(l + row, 4) + (Lane(l + row, 2) + Lane(l + row, 6));
                Vector256<float> odd = Lane(l + row, 1) + Lane(l + row, 5) + (Lane(l + row, 3) + Lane(l + row, 7));
                (add ? Vector256.Load(o + row) + (even + odd) : even + odd).Store(o + row);
            }
        }
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Lane(float* lanes, int group) => Vector256.Load(lanes + group * MaxTokens * Rows);

    [MethodImpl(Jit.Inline)]
    private static void Group(Packed* packed, int group, BlockUnit* x, nint apart, int tokens, int* dots, float* lanes)
    {
        sbyte* weights = packed->Weights + group * GroupWeights;
        int* values = (int*)(x->Values + group * BlockUnit.GroupSize);
        if (TBlocks.Scale == Shared.Part)
        {
            RowProducts<TRows>.Sum(tokens, weights, Steps / 2, values, apart, dots);
            RowProducts<TRows>.Sum(tokens, weights + GroupWeights / 2, Steps / 2, values + Steps / 2, apart, dots + MaxTokens * Rows);
        }
        else
            RowProducts<TRows>.Sum(tokens, weights, Steps, values, apart, dots);
        Scale(packed, group, x, apart, tokens, dots, lanes);
    }

    // A group of the rows meets the tokens.
    [MethodImpl(Jit.Optimize)]
    private static void Scale(Packed* packed, int group, BlockUnit* x, nint apart, int tokens, int* dots, float* lanes)
    {
        float* scales = packed->Scales + group * Rows, minima = packed->Minima + group * Rows;
        int part = (TBlocks.Scale == Shared.Part ? 2 : 1) * group * Rows, ofPart = group / 4 * BlockUnit.Groups + group % 4;
        TRows first = default, second = default, minFirst = default, minSecond = default;
        if (TBlocks.Scale != Shared.Block)
            (first, minFirst) = (TRows.Load(packed->OfScales + part), TRows.Load(packed->OfMinima + part));
        if (TBlocks.Scale == Shared.Part)
            (second, minSecond) = (TRows.Load(packed->OfScales + part + Rows), TRows.Load(packed->OfMinima + part + Rows));
        for (int t = 0; t < tokens; t++, x += apart, dots += Rows, lanes += Rows)
        {
            TRows dot = TRows.Load(dots);
            if (TBlocks.Scale != Shared.Block)
                dot *= first;
            if (TBlocks.Scale == Shared.Part)
                dot += TRows.Load(dots + MaxTokens * Rows) * second;
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
