namespace Llama2.Fast.Kernels;

/// <summary>
/// Products of 32 weights and 32 activations, four to an int, and sums of them. Integers add exactly in any order; only the halves of 16
/// stay apart, in the halves of the register, since some types scale them apart.
/// </summary>
internal interface IDots
{
    static abstract bool IsSupported { get; }

    /// <summary>What <see cref="Signed"/> adds to each weight, so that the caller takes it off again.</summary>
    static abstract int SignedBias { get; }

    /// <summary>The products of weights, from 0 to 63, and activations of two digits, each from -127 to 127.</summary>
    static abstract Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> high, Vector256<sbyte> low);

    /// <summary>The products of any signed weights with <see cref="SignedBias"/> added.</summary>
    static abstract Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> high, Vector256<sbyte> low);

    /// <summary>Of each half: a0 + a1, a2 + a3, b0 + b1, b2 + b3.</summary>
    static abstract Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b);

    /// <summary>The halves of a, added, and those of b.</summary>
    static abstract Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b);
}
