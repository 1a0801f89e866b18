namespace Llama2.Tests.Shared;

/// <summary>Equality of floats as the contract has it: the same bits, and any NaN equals any NaN.</summary>
internal static class Bits
{
    public static void AssertEqual(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what = "floats")
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (!AreEqual(expected[i], actual[i]))
                Assert.Fail($"{what}: element {i} of {expected.Length} is {actual[i]:R}, not {expected[i]:R}");
        }
    }

    private static bool AreEqual(float a, float b) =>
        BitConverter.SingleToInt32Bits(a) == BitConverter.SingleToInt32Bits(b) || (float.IsNaN(a) && float.IsNaN(b));

    /// <summary>How many floats lie between two, plus one if they differ; 0 for two NaN.</summary>
    public static long UlpsBetween(float a, float b) => float.IsNaN(a) && float.IsNaN(b) ? 0 : Math.Abs(Ordinal(a) - Ordinal(b));

    private static long Ordinal(float x)
    {
        int bits = BitConverter.SingleToInt32Bits(x);
        return bits >= 0 ? bits : -(long)(bits & 0x7fffffff);
    }
}
