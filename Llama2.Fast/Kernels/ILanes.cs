using System.Runtime.Intrinsics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// Sixteen floats side by side, in as many registers as the machine needs for them: one of 512 bits, two of 256, four of
/// 128, or none. Every operation works lane by lane and rounds as IEEE 754 says, and <see cref="Sum(TSelf)"/> adds in one
/// order. So whatever is written in terms of lanes gives the same bits on every machine.
/// </summary>
internal unsafe interface ILanes<TSelf> where TSelf : struct, ILanes<TSelf>
{
    /// <summary>Floats in <typeparamref name="TSelf"/>.</summary>
    const int Count = 16;

    static abstract bool IsSupported { get; }

    /// <summary>Whether 24 accumulators fit in registers, or only 6.</summary>
    static abstract bool HasRoomFor24 { get; }

    /// <summary>p[l], at any address.</summary>
    static abstract TSelf Load(float* p);

    /// <summary>p[l] in the first <paramref name="count"/> lanes, <paramref name="rest"/> in the others, whose memory is not touched.</summary>
    static abstract TSelf LoadPartial(float* p, int count, float rest);

    /// <summary>p[l] = v[l].</summary>
    static abstract void Store(float* p, TSelf v);

    /// <summary>p[l] = v[l] in the first <paramref name="count"/> lanes; the memory of the others is not touched.</summary>
    static abstract void StorePartial(float* p, TSelf v, int count);

    /// <summary>p[l] = (sbyte)v[l]; v holds whole numbers from -127 to 127, or NaN, which becomes 0.</summary>
    static abstract void StoreInt8(sbyte* p, TSelf v);

    /// <summary>The same float in every lane.</summary>
    static abstract TSelf Create(float value);

    static abstract TSelf operator +(TSelf a, TSelf b);

    static abstract TSelf operator -(TSelf a, TSelf b);

    static abstract TSelf operator *(TSelf a, TSelf b);

    static abstract TSelf operator /(TSelf a, TSelf b);

    /// <summary>a * b + c, rounded once.</summary>
    static abstract TSelf FusedMultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>a &gt; b ? a : b, so b where either is NaN.</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>a &lt; b ? a : b, so b where either is NaN.</summary>
    static abstract TSelf Min(TSelf a, TSelf b);

    /// <summary>The greatest lane, where none is NaN.</summary>
    static abstract float Greatest(TSelf a);

    /// <summary>|a|.</summary>
    static abstract TSelf Abs(TSelf a);

    /// <summary>Towards zero.</summary>
    static abstract TSelf Truncate(TSelf a);

    /// <summary>|a| with the sign of <paramref name="sign"/>.</summary>
    static abstract TSelf CopySign(TSelf a, TSelf sign);

    /// <summary>e^a, as <see cref="Elementary.Exp(float)"/> has it.</summary>
    static abstract TSelf Exp(TSelf a);

    /// <summary>to[i * 16 + l] = p[l * stride + i], for sixteen rows l and four columns i.</summary>
    static abstract void Transpose(float* p, nint stride, float* to);

    /// <summary>The halving tree: l + (l + 8), then + 4, + 2, + 1.</summary>
    static abstract float Sum(TSelf a);

    /// <summary>The sums of four, each by the halving tree.</summary>
    static abstract Vector128<float> Sum(TSelf a, TSelf b, TSelf c, TSelf d);
}
