namespace Llama2.Fast.Kernels;

/// <summary>A type of 16 bits.</summary>
internal unsafe interface IHalf
{
    static abstract TLanes Load<TLanes>(ushort* p) where TLanes : struct, ILanes<TLanes>;
}

internal readonly unsafe struct Float16 : IHalf
{
    [MethodImpl(Jit.Inline)] public static TLanes Load<TLanes>(ushort* p) where TLanes : struct, ILanes<TLanes> => TLanes.LoadFloat16(p);
}

internal readonly unsafe struct BFloat16 : IHalf
{
    [MethodImpl(Jit.Inline)] public static TLanes Load<TLanes>(ushort* p) where TLanes : struct, ILanes<TLanes> => TLanes.LoadBFloat16(p);
}

/// <summary>W (rows, n) @ x (tokens, n) -> o (tokens, rows) of float16 or bfloat16: the bits of <see cref="MatMul{TLanes}"/>.</summary>
internal static unsafe class MatMulHalves<TLanes, THalf>
    where TLanes : struct, ILanes<TLanes>
    where THalf : struct, IHalf
{
    private const int BlockFloats = 24 * 1024; // converted at once for several tokens: 96 KB, which stay in L2
    private const int TileRows = 4;

    /// <summary>o[t * oStride + i] (+)= the dot product of row first + i of w, for i below rows, and of row t of x.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        int n = w.Columns;
        ushort* from = (ushort*)w.Bytes + (nint)first * n;
        if (x.Count > 1)
        {
            int block = Math.Min(rows, Math.Max(2 * TileRows, BlockFloats / n));
            float* floats = memory.EnsureCount(block * (long)n);
            for (int i = 0, count; i < rows; i += count)
            {
                count = Math.Min(block, rows - i);
                Convert(from + (nint)i * n, floats, (nint)count * n);
                MatMul<TLanes>.Multiply(floats, count, x.Floats, x.Stride, x.Count, n, o + i, oStride, add);
            }
            return;
        }
        // as in float32, rows far apart
        int apart = rows / TileRows;
        for (int i = 0; i < apart; i++)
            Tile(from + (nint)i * n, (nint)apart * n, x.Floats, n, o + i, apart, add);
        for (int i = TileRows * apart; i < rows; i++)
            Tile(from + (nint)i * n, 0, x.Floats, n, o + i, 0, add);
    }

    [MethodImpl(Jit.Optimize)]
    private static void Convert(ushort* from, float* to, nint count)
    {
        nint j = 0;
        for (; j + Lanes.Count <= count; j += Lanes.Count)
            TLanes.Store(to + j, THalf.Load<TLanes>(from + j));
        if (j == count)
            return;
        ushort* last = stackalloc ushort[Lanes.Count];
        CopyRest(from + j, (int)(count - j), last);
        TLanes.StorePartial(to + j, THalf.Load<TLanes>(last), (int)(count - j));
    }

    // Four rows, or four times the same one, whose result is written once. The last elements are copied first, since the lanes would
    // be written to memory around a call.
    [MethodImpl(Jit.Optimize)]
    private static void Tile(ushort* w, nint wApart, float* x, int n, float* o, nint apart, bool add)
    {
        int whole = n / Lanes.Count * Lanes.Count, rest = n - whole;
        ushort* w1 = w + wApart, w2 = w1 + wApart, w3 = w2 + wApart, last = stackalloc ushort[TileRows * Lanes.Count];
        for (int i = 0; rest > 0 && i < TileRows; i++)
            CopyRest(w + i * wApart + whole, rest, last + i * Lanes.Count);
        TLanes a = TLanes.Create(0), b = a, c = a, d = a;
        for (int j = 0; j < whole; j += Lanes.Count)
        {
            Prefetch.Rows(w + j, wApart * sizeof(ushort));
            TLanes v = TLanes.Load(x + j);
            a = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(w + j), v, a);
            b = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(w1 + j), v, b);
            c = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(w2 + j), v, c);
            d = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(w3 + j), v, d);
        }
        if (rest > 0)
        {
            TLanes v = TLanes.LoadPartial(x + whole, rest, 0);
            a = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(last), v, a);
            b = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(last + Lanes.Count), v, b);
            c = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(last + 2 * Lanes.Count), v, c);
            d = TLanes.FusedMultiplyAdd(THalf.Load<TLanes>(last + 3 * Lanes.Count), v, d);
        }
        Vector128<float> sums = TLanes.Sum(a, b, c, d);
        Horizontal.Scatter(sums, o, apart, apart == 0 ? 1 : TileRows, add);
    }

    // The lanes beyond get -0, so that their product leaves any sum as it is, even -0.
    private static void CopyRest(ushort* from, int count, ushort* to)
    {
        new Span<ushort>(to, Lanes.Count).Fill(0x8000);
        new Span<ushort>(from, count).CopyTo(new Span<ushort>(to, count));
    }
}
