using System.Numerics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) of blocks, bit for bit Simple's: group g of 32 elements adds to lane g mod 8 of its dot
/// product its exact integer times its scales by fused multiply-add, then its minimum. A unit of 256 elements adds to all lanes.
/// </summary>
internal static unsafe class MatMulBlocks<TDots, TRows, TBlocks>
    where TDots : struct, IDots
    where TRows : struct, IRows<TRows>
    where TBlocks : struct, IBlocks
{
    private const int TileRows = 4;
    private const int PrefetchBytes = 768;
    private const int MinTileTokens = 4; // for which transposing the weights pays

    /// <summary>The rows of <paramref name="like"/>, from <paramref name="w"/> on.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Multiply(byte* w, Matrix like, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        long rowBytes = like.RowBytes;
        BlockActivations blocks = x.Blocks!;
        const int Rows = BlockTile<TRows, TBlocks>.Rows;
        int i = 0;
        if (x.Count >= MinTileTokens)
        {
            float* packed = memory.EnsureCount(BlockTile<TRows, TBlocks>.MemoryCount(like.Columns));
            for (; i + Rows <= rows; i += Rows)
            {
                byte* from = w + i * rowBytes;
                BlockTile<TRows, TBlocks>.Pack(from, rowBytes, like.Columns, packed);
                for (int t = 0; t < x.Count;)
                {
                    (int tiles, int tokens) = NextTiles(x.Count - t);
                    BlockTile<TRows, TBlocks>.Multiply(packed, blocks, x.First + t, tiles, tokens, o + t * oStride + i, oStride, add,
                        from + Rows * rowBytes, t == 0 ? Rows * rowBytes : 0);
                    t += tiles * tokens;
                }
            }
        }
        TokenByToken(w + i * rowBytes, rowBytes, rows - i, blocks, x.First, x.Count, o + i, oStride, add);
    }

    // Tiles of as many tokens as the next one.
    private static (int Tiles, int Tokens) NextTiles(int left)
    {
        int max = BlockTile<TRows, TBlocks>.MaxTokens, tokens = TileTokens.Next(left, max), tiles = 0;
        while (left > 0 && tiles < BlockTile<TRows, TBlocks>.MaxTiles && TileTokens.Next(left, max) == tokens)
            (left, tiles) = (left - tokens, tiles + 1);
        return (tiles, tokens);
    }

    // As in float32, rows far apart.
    [MethodImpl(Jit.Optimize)]
    private static void TokenByToken(
        byte* w, long rowBytes, int rows, BlockActivations x, int token, int tokens, float* o, nint oStride, bool add)
    {
        int apart = rows / TileRows;
        for (int i = 0; i < apart; i++)
        {
            for (int t = 0; t < tokens; t++)
                Tile(w + i * rowBytes, (nint)(apart * rowBytes), TileRows, x, token + t, o + t * oStride + i, apart, add);
        }
        for (int i = TileRows * apart; i < rows; i++)
        {
            for (int t = 0; t < tokens; t++)
                Tile(w + i * rowBytes, 0, 1, x, token + t, o + t * oStride + i, 0, add);
        }
    }

    // At most four rows and one token; both the rows and their results lie apart.
    [MethodImpl(Jit.Optimize)]
    private static void Tile(byte* w, nint wApart, int rows, BlockActivations x, int token, float* o, nint apart, bool add)
    {
        Vector256<float>* lanes = stackalloc Vector256<float>[TileRows];
        new Span<Vector256<float>>(lanes, TileRows).Clear();
        BlockUnit* unit = x.Row(token);
        int units = x.Length / BlockUnit.Length, rest = x.Length % BlockUnit.Length;
        nint at = 0;
        for (int u = 0; u < units; u++, at += TBlocks.UnitBytes, unit++)
        {
            byte* row = w + at;
            for (int i = 0; i < rows; i++, row += wApart)
            {
                PrefetchUnit(row);
                lanes[i] = AddUnit(lanes[i], row, unit);
            }
        }
        if (rest > 0)
        {
            for (int i = 0; i < rows; i++)
                lanes[i] = AddRest(lanes[i], w + at + i * wApart, rest, unit);
        }
        Vector128<float> sums = Horizontal.Sum(Fold(lanes[0]), Fold(lanes[1]), Fold(lanes[2]), Fold(lanes[3]));
        Horizontal.Scatter(sums, o, apart, rows, add);
    }

    // The processor's own prefetching stops at the end of a page: 2048 x 5632 of q8_0 takes 0.76 ms with this, and 1.03 without.
    [MethodImpl(Jit.Inline)]
    private static void PrefetchUnit(byte* w)
    {
        for (int line = 0; line < TBlocks.UnitBytes; line += Prefetch.LineBytes)
            Prefetch.Line(w + PrefetchBytes + line);
    }

    [MethodImpl(Jit.Inline)] private static Vector128<float> Fold(Vector256<float> v) => v.GetLower() + v.GetUpper();

    private static Vector256<float> AddRest(Vector256<float> lanes, byte* w, int weights, BlockUnit* x)
    {
        byte* unit = stackalloc byte[TBlocks.UnitBytes];
        BlockRest<TBlocks>.Copy(w, weights, unit);
        return AddUnit(lanes, unit, x);
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<float> AddUnit(Vector256<float> lanes, byte* w, BlockUnit* x)
    {
        Vector256<int> first = TDots.AddPairs(TwoDots(w, x, 0), TwoDots(w, x, 2));
        Vector256<int> last = TDots.AddPairs(TwoDots(w, x, 4), TwoDots(w, x, 6));
        Vector256<float> dots;
        if (TBlocks.Scale == Shared.Part)
        {
            (Vector256<int> firstScales, Vector256<int> lastScales) = TBlocks.ScalesOfParts(w);
            first = WithoutBias(first, x->Parts) * firstScales;
            last = WithoutBias(last, x->Parts + Vector256<int>.Count) * lastScales;
            dots = Vector256.ConvertToSingle(TDots.AddHalves(first, last));
        }
        else
        {
            Vector256<int> ofGroups = WithoutBias(TDots.AddHalves(first, last), x->Sums);
            dots = Vector256.ConvertToSingle(TBlocks.Scale == Shared.Group ? ofGroups * TBlocks.OfGroups(w).Scales : ofGroups);
        }
        Vector256<float> xs = Vector256.Load(x->Scales);
        (Vector256<float> scales, Vector256<float> minima) = TBlocks.Floats(w);
        lanes = Vector256.FusedMultiplyAdd(dots, scales * xs, lanes);
        return TBlocks.HasMinima ? Vector256.FusedMultiplyAdd(Minima(w, x), -(minima * xs), lanes) : lanes;
    }

    // A bias is 0 or a power of two.
    [MethodImpl(Jit.Inline)]
    private static Vector256<int> WithoutBias(Vector256<int> dots, int* sums)
    {
        int bias = TBlocks.Bias + (TBlocks.IsSigned ? TDots.SignedBias : 0);
        return bias == 0 ? dots : dots - (Vector256.Load(sums) << BitOperations.Log2((uint)bias));
    }

    [MethodImpl(Jit.Inline)]
    private static Vector256<int> TwoDots(byte* w, BlockUnit* x, int group) => TDots.AddPairs(Dot(w, x, group), Dot(w, x, group + 1));

    [MethodImpl(Jit.Inline)]
    private static Vector256<int> Dot(byte* w, BlockUnit* x, int group)
    {
        Vector256<byte> weights = TBlocks.Weights(w, group);
        Vector256<sbyte> high = Vector256.Load(x->High + group * BlockUnit.GroupSize);
        Vector256<sbyte> low = Vector256.Load(x->Low + group * BlockUnit.GroupSize);
        return TBlocks.IsSigned ? TDots.Signed(weights.AsSByte(), high, low) : TDots.Unsigned(weights, high, low);
    }

    // Of each group: its activations, times the integer of its minimum.
    [MethodImpl(Jit.Inline)]
    private static Vector256<float> Minima(byte* w, BlockUnit* x)
    {
        if (TBlocks.Scale != Shared.Part)
        {
            Vector256<float> sums = Vector256.ConvertToSingle(Vector256.Load(x->Sums));
            return TBlocks.Scale == Shared.Block ? sums : sums * Vector256.ConvertToSingle(TBlocks.OfGroups(w).Minima);
        }
        (Vector256<int> first, Vector256<int> last) = TBlocks.MinimaOfParts(w);
        return Vector256.ConvertToSingle(
            TDots.AddHalves(first * Vector256.Load(x->Parts), last * Vector256.Load(x->Parts + Vector256<int>.Count)));
    }
}
