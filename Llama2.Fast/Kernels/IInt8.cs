using System.Runtime.Intrinsics;

namespace Llama2.Fast.Kernels;

/// <summary>
/// Products of int8 vectors, summed in int32. Integers add exactly in any order, so only the meaning is fixed here and
/// each machine groups the products as it likes. Weights may be -128, activations are from -127 to 127.
/// </summary>
internal unsafe interface IInt8
{
    /// <summary>What the length of every product is a multiple of.</summary>
    const int Step = 32;

    static abstract bool IsSupported { get; }

    /// <summary>Element i is the sum of w[i * stride + j] * x[j] over j below <paramref name="n"/>, a multiple of <see cref="Step"/>.</summary>
    static abstract Vector128<int> Dot(sbyte* w, nint stride, sbyte* x, int n);
}
