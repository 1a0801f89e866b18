namespace Llama2.Fast.Kernels;

/// <summary>How many weights share a small integer, a scale or a minimum, beside the block's float.</summary>
internal enum Shared
{
    Block, // none: the float is all
    Group, // 32
    Part,  // 16
}

/// <summary>
/// A type of blocks, in units of 256 weights: one block, or eight blocks of 32. A weight is Scales * integer * (Weights - Bias), less
/// Minima * integer where the type has minima; the eight groups of 32 weights are the eight elements of a vector. Integers of parts come
/// as two vectors: of parts 0 2 4 6 1 3 5 7, and 8 10 12 14 9 11 13 15.
/// </summary>
internal unsafe interface IBlocks
{
    static abstract int UnitBytes { get; }
    static virtual bool IsSigned => false; // whether weights are signed, or unsigned and at most 63
    static virtual int Bias => 0;
    static virtual Shared Scale => Shared.Block;
    static virtual bool HasMinima => false;

    /// <summary>Weights 32 * group and the 31 that follow.</summary>
    static abstract Vector256<byte> Weights(byte* unit, int group);

    /// <summary>The scales of the groups' blocks, and their minima if there are any.</summary>
    static abstract (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit);

    /// <summary>The integers of the groups; read only where <see cref="Scale"/> is <see cref="Shared.Group"/>.</summary>
    static virtual (Vector256<int> Scales, Vector256<int> Minima) OfGroups(byte* unit) => default;

    /// <summary>The integers of the parts; read only where <see cref="Scale"/> is <see cref="Shared.Part"/>.</summary>
    static virtual (Vector256<int> First, Vector256<int> Last) ScalesOfParts(byte* unit) => default;

    /// <summary>Likewise, and only where the type has minima.</summary>
    static virtual (Vector256<int> First, Vector256<int> Last) MinimaOfParts(byte* unit) => default;
}
