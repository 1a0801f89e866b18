namespace Llama2.Fuzz.Engine;

/// <summary>Makes an input smaller and plainer for as long as it still does what it did.</summary>
internal static class Minimiser
{
    /// <summary>Leaves out blocks, long ones first, then turns bytes into zeros.</summary>
    /// <param name="data">An input that does it.</param>
    /// <param name="same">Whether an input still does it.</param>
    /// <param name="tries">How often to ask at most.</param>
    public static byte[] Shrink(byte[] data, Func<byte[], bool> same, int tries)
    {
        for (int block = data.Length; block > 0; block /= 2)
        {
            for (int from = 0; from < data.Length && tries > 0;)
            {
                byte[] shorter = [.. data.AsSpan(0, from), .. data.AsSpan(Math.Min(from + block, data.Length))];
                tries--;
                if (same(shorter))
                    data = shorter;
                else
                    from += block;
            }
        }
        for (int i = 0; i < data.Length && tries > 0; i++)
        {
            if (data[i] == 0)
                continue;
            byte[] plainer = [.. data];
            plainer[i] = 0;
            tries--;
            if (same(plainer))
                data = plainer;
        }
        return data;
    }
}
