namespace Llama2.Fast.Pass;

/// <summary>
/// 256 activations as matrices of blocks multiply them: 15 bits in groups of 32 that share a scale, and sums of them. Decode multiplies
/// bytes, for which a value has two digits, prefill multiplies the values.
/// </summary>
internal unsafe struct BlockUnit
{
    public const int Groups = 8, GroupSize = 32, Length = Groups * GroupSize, PartSize = 16;
    public const int LowBits = 7, HighDigit = 1 << LowBits, MaxValue = 127 * HighDigit;

    public fixed sbyte High[Length];    // from -127 to 127
    public fixed sbyte Low[Length];     // from -64 to 64
    public fixed short Values[Length];  // HighDigit * High + Low
    public fixed float Scales[Groups];
    public fixed int Sums[Groups];      // of each group
    public fixed int Parts[2 * Groups]; // of each 16 values: of parts 0 2 4 6 1 3 5 7 8 10 12 14 9 11 13 15

    /// <summary>Makes values of the digits, and sums of the values.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Sum(BlockUnit* x)
    {
        for (int g = 0; g < Groups; g++)
        {
            int* parts = x->Parts + g / 4 * Groups + g % 4;
            parts[0] = SumPart(x, g * GroupSize);
            parts[4] = SumPart(x, g * GroupSize + PartSize);
            x->Sums[g] = parts[0] + parts[4];
        }
    }

    [MethodImpl(Jit.Inline)]
    private static int SumPart(BlockUnit* x, int start)
    {
        (Vector128<short> high, Vector128<short> highUpper) = Vector128.Widen(Vector128.Load(x->High + start));
        (Vector128<short> low, Vector128<short> lowUpper) = Vector128.Widen(Vector128.Load(x->Low + start));
        Vector128<short> lower = (high << LowBits) + low, upper = (highUpper << LowBits) + lowUpper;
        lower.Store(x->Values + start);
        upper.Store(x->Values + start + PartSize / 2);
        (Vector128<int> a, Vector128<int> b) = Vector128.Widen(lower);
        (Vector128<int> c, Vector128<int> d) = Vector128.Widen(upper);
        return Vector128.Sum(a + b + (c + d));
    }
}

/// <summary>Activations of a batch of rows in units, the last one of a row filled up with zeros.</summary>
/// <param name="length">Elements in a row.</param>
internal sealed unsafe class BlockActivations(int length) : IDisposable
{
    private readonly NativeBuffer<BlockUnit> _units = new(); // (rows, units)
    public readonly int RowUnits = 1 + (length - 1) / BlockUnit.Length;

    public readonly int Length = length;

    /// <summary>The units of a row.</summary>
    public BlockUnit* Row(int row) => _units.Pointer + (nint)row * RowUnits;

    /// <summary>Room for that many rows; the contents are lost if it has to grow.</summary>
    public void EnsureRows(int rows) => _units.EnsureCount((long)rows * RowUnits);

    /// <summary>Copies a row over an earlier one.</summary>
    public void Move(int from, int to) =>
        new Span<BlockUnit>(Row(from), RowUnits).CopyTo(new Span<BlockUnit>(Row(to), RowUnits));

    public void Dispose() => _units.Dispose();
}
