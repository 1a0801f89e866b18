using System.Runtime.Intrinsics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// Products of int8 vectors, summed in int32. Integers add exactly in any order, so only the meaning is fixed here and
/// each machine groups the products as it likes. Weights may be -128, activations are from -127 to 127. A value of
/// <typeparamref name="TSelf"/> is a register of <see cref="Rows"/> int32, or of weights or activations for as many sums.
/// </summary>
internal unsafe interface IInt8<TSelf> where TSelf : struct, IInt8<TSelf>
{
    static abstract bool IsSupported { get; }

    /// <summary>Element i is the sum of w[i * stride + j] * x[j] over j below <paramref name="n"/>, a multiple of <see cref="Int8.Step"/>.</summary>
    static abstract Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n);

    /// <summary>Lanes of a register.</summary>
    static abstract int Rows { get; }

    /// <summary>Products that a lane takes at once: 4 of int8, or 2 of the same numbers as int16.</summary>
    static abstract int Depth { get; }

    /// <summary>What <see cref="Dot(TSelf, TSelf, TSelf)"/> wants added to each weight, as a byte: 128 where weights are unsigned to it, or 0.</summary>
    static abstract int Bias { get; }

    /// <summary>Weights: <see cref="Depth"/> bytes for each lane.</summary>
    static abstract TSelf Load(sbyte* p);

    /// <summary>The same lane everywhere.</summary>
    static abstract TSelf Create(int lane);

    /// <summary>Adds to each lane of <paramref name="sum"/> the products of what that lane has of weights and activations.</summary>
    static abstract TSelf Dot(TSelf sum, TSelf w, TSelf x);

    /// <summary>o[i] += dots[i] * wScales[i] * xScale, rounded at every step.</summary>
    static abstract void AddScaled(float* o, TSelf dots, float* wScales, float xScale);
}

/// <summary>What all of them agree on.</summary>
internal static class Int8
{
    /// <summary>What the length of a product is a multiple of.</summary>
    public const int Step = 16;
}
