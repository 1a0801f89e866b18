namespace Llama2.Fast.Kernels;

/// <summary>
/// What the sum of a group's products starts from, so that its bits are those of the float 1.5 * 2^23 + sum: subtracting 1.5 * 2^23 then
/// gives the sum as a float, exactly, on ports that the products leave free. Where weights are stored with a bias, the start takes back
/// what the bias adds to the products: the bias times the sum of the activations.
/// </summary>
internal static unsafe class Int8Starts
{
    /// <summary>The start of a sum of 0.</summary>
    public const int Zero = 0x4B400000;

    /// <summary>The same as a float.</summary>
    public const float ZeroAsFloat = 3 << 22;

    /// <summary>Elements of a group whose sum is exact: 256 * 128 * 127 is below 2^22.</summary>
    public const int MaxGroupSize = 256;

    /// <summary>The start of each group of a row of activations.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Fill(sbyte* x, int n, int groupSize, int bias, int* starts)
    {
        for (int* end = starts + n / groupSize; starts < end; starts++)
        {
            int sum = 0;
            for (int j = 0; bias != 0 && j < groupSize; j += Lanes.Count, x += Lanes.Count)
            {
                (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(Vector128.Load(x));
                sum += Vector128.Sum(lower + upper);
            }
            *starts = Zero - bias * sum;
        }
    }
}
