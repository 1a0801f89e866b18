namespace Llama2.Fast.Kernels;

/// <summary>The width that all kernels share.</summary>
internal static class Lanes
{
    /// <summary>Floats that are computed side by side; also the step of int8 dot products.</summary>
    public const int Count = 16;

    /// <summary>Whether groups of int8 end where rows end, and are made of whole lanes.</summary>
    public static bool HasWholeGroups(int columns, int groupSize) => groupSize % Count == 0 && columns % groupSize == 0;

    /// <summary>The next multiple of <see cref="Count"/>.</summary>
    public static int RoundUp(int length) => checked(length + (Count - 1)) & -Count;
}

/// <summary>
/// Sixteen floats side by side, in as many registers as the machine needs for them: one of 512 bits, two of 256, four of 128, or none.
/// Every operation works lane by lane and rounds as IEEE 754 says, and <see cref="Sum"/> adds in one order. So whatever is written in terms
/// of lanes gives the same bits on every machine.
/// </summary>
internal unsafe interface ILanes<TSelf> where TSelf : struct, ILanes<TSelf>
{
    static abstract bool IsSupported { get; }
    static abstract bool Has32Registers { get; } // so that 24 accumulators fit in beside what is loaded, or only 6

    static abstract TSelf Create(float value);                            // the same float in every lane
    static abstract TSelf Load(float* p);                                 // p[l], at any address
    static abstract TSelf LoadPartial(float* p, int count, float rest);   // p[l] in the first lanes, rest beyond, where no memory is read
    static abstract TSelf LoadFloat16(ushort* p);                         // p[l], to float32
    static abstract TSelf LoadBFloat16(ushort* p);
    static abstract void Store(float* p, TSelf v);                        // p[l] = v[l]
    static abstract void StorePartial(float* p, TSelf v, int count);      // in the first lanes; the memory of the others is not touched
    static abstract void StoreInt8(sbyte* p, TSelf v);                    // p[l] = v[l] truncated; v is between -128 and 128, or NaN: 0

    static abstract TSelf operator +(TSelf a, TSelf b);
    static abstract TSelf operator -(TSelf a, TSelf b);
    static abstract TSelf operator *(TSelf a, TSelf b);
    static abstract TSelf operator /(TSelf a, TSelf b);
    static abstract TSelf FusedMultiplyAdd(TSelf a, TSelf b, TSelf c);    // a * b + c, rounded once
    static abstract TSelf Max(TSelf a, TSelf b);                          // a > b ? a : b, so b where either is NaN
    static abstract TSelf Min(TSelf a, TSelf b);                          // a < b ? a : b, likewise
    static abstract TSelf Abs(TSelf a);
    static abstract TSelf CopySign(TSelf a, TSelf sign);                  // |a| with the sign of sign
    static abstract TSelf Exp(TSelf a);                                   // with the bits of Elementary.Exp(float)

    /// <summary>to[i * 16 + l] = p[l * stride + i], for sixteen rows l and four columns i.</summary>
    static abstract void Transpose(float* p, nint stride, float* to);

    /// <summary>The maximum of all lanes, where none is NaN.</summary>
    static abstract float MaxAcross(TSelf a);

    /// <summary>The horizontal sums of four, each by halving: a[l] + a[l + 8], then + 4, + 2, + 1.</summary>
    static abstract Vector128<float> Sum(TSelf a, TSelf b, TSelf c, TSelf d);
}
