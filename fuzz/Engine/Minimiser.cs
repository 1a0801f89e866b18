namespace Llama2.Fuzz.Engine;

/// <summary>Makes an input smaller and plainer for as long as it still does what it did.</summary>
internal static class Minimiser
{
    /// <summary>Leaves out blocks, long ones first, then turns bytes into zeros.</summary>
    public static byte[] Shrink(byte[] data, Func<byte[], bool> same, int tries)
    {
        for (int block = data.Length; block > 0; block /= 2)
        {
            for (int from = 0; from < data.Length;)
                from += Try([.. data.AsSpan(0, from), .. data.AsSpan(Math.Min(from + block, data.Length))]) ? 0 : block;
        }
        for (int i = 0; i < data.Length; i++)
            _ = data[i] != 0 && Try([.. data.AsSpan(0, i), 0, .. data.AsSpan(i + 1)]);
        return data;

        bool Try(byte[] candidate)
        {
            if (tries-- <= 0 || !same(candidate))
                return false;
            data = candidate;
            return true;
        }
    }
}
