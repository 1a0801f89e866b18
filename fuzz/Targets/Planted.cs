namespace Llama2.Fuzz.Targets;

/// <summary>
/// Three bugs to test fuzzers with, each behind conditions that random bytes do not meet: an exception, a write behind the
/// end, an endless loop.
/// </summary>
internal static class Planted
{
    public static void Run(ReadOnlySpan<byte> data)
    {
        if (data.Length < 12 || BitConverter.ToInt32(data) != data.Length)
            return;
        if (data[4] != 'b' || data[5] != 'u' || data[6] != 'g')
            return;
        if (data[7] == '1' && BitConverter.ToSingle(data[8..]) > 1e30f)
            throw new BrokenPromiseException("found");
        if (data[7] == '2' && BitConverter.ToInt32(data[8..]) == int.MaxValue)
            OneTooFar();
        while (data[7] == '3' && BitConverter.ToInt32(data[8..]) == -1)
        {
        }
    }

    private static unsafe void OneTooFar()
    {
        using GuardedMemory<float> memory = new(17);
        fixed (float* p = memory.Memory.Span)
            p[17] = 1;
    }
}
