namespace Llama2.Fast.Kernels;

/// <summary>
/// Sixteen ints side by side, one for each row of a tile, in one register or several: sums of products of weights and activations, both of
/// 16 bits.
/// </summary>
internal unsafe interface IRows<TSelf> where TSelf : struct, IRows<TSelf>
{
    static abstract bool IsSupported { get; }

    /// <summary>Max tokens of a tile: 8 at most.</summary>
    static virtual int MaxTokens => 6;

    static abstract TSelf Create(int value);
    static abstract TSelf Load(int* p);
    static abstract void Store(int* p, TSelf v);
    static abstract TSelf operator +(TSelf a, TSelf b);
    static abstract TSelf operator *(TSelf a, TSelf b);

    /// <summary>Two weights of each row, from 8 to 16 bits.</summary>
    static abstract TSelf Widen(sbyte* p);

    /// <summary>Adds to each row the products of its two weights and two activations, which are those of all rows.</summary>
    static abstract TSelf AddProducts(TSelf sums, TSelf weights, int activations);

    /// <summary>lanes[i] += v[i] * (scales[i] * x), fused: a float for each row.</summary>
    static abstract void AddScaled(float* lanes, TSelf v, float* scales, float x);
}
