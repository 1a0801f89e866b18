namespace Llama2.Fast.Kernels;

/// <summary>
/// A register of int32 sums, or of the int8 weights or activations whose products are added to them. Integers add exactly in any order, so
/// each machine groups the products as it likes. Weights may be -128, activations are from -127 to 127.
/// </summary>
internal unsafe interface IInt8<TSelf> where TSelf : struct, IInt8<TSelf>
{
    static abstract bool IsSupported { get; }
    static abstract int Lanes { get; } // int32 of a register
    static abstract int Depth { get; } // products that a lane adds at once: 4 of int8, or 2 of the same numbers as int16
    static abstract int Bias { get; }  // 128 where the instruction reads weights as unsigned bytes, so that they are stored + 128; else 0

    static abstract TSelf Create(int lane);                     // the same int32 in every lane
    static abstract TSelf Load(sbyte* p);                       // a register of int8: Lanes * Depth
    static abstract TSelf LoadSixteen(sbyte* p);                // the last 16 int8 of a group, and zeros where a register has 32
    static abstract TSelf AddBias(TSelf w);
    static abstract TSelf operator +(TSelf a, TSelf b);
    static abstract TSelf Dot(TSelf sum, TSelf w, TSelf x);     // adds to each lane the products of that lane's weights and activations

    /// <summary>The horizontal sums of four.</summary>
    static abstract Vector128<int> Sum(TSelf a, TSelf b, TSelf c, TSelf d);

    /// <summary>Whether <see cref="LoadRows"/> and products of what it loads are fast.</summary>
    static abstract bool CanTransposeRows { get; }

    /// <summary>
    /// 16 int8 of each of Lanes rows, with the bias: a has the first four of every row, d the last. Called only where
    /// <see cref="CanTransposeRows"/>.
    /// </summary>
    static virtual void LoadRows(sbyte* p, nint apart, out TSelf a, out TSelf b, out TSelf c, out TSelf d) => a = b = c = d = default;

    /// <summary>o[i] += dots[i] * wScales[i] * xScale, rounded at every step; dots began at <see cref="Int8Starts"/>.</summary>
    static abstract void AddScaled(float* o, TSelf dots, float* wScales, float xScale);
}
