namespace Llama2.Fuzz.Engine;

/// <summary>Makes new inputs of old ones.</summary>
internal sealed class Mutator(Random random, byte[][] words)
{
    private static readonly byte[][] Numbers =
    [
        .. new[]
        {
            -129, -128, -2, -1, 0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 512, 1000, 1024,
            4096, 32767, 32768, 65535, 65536, 100_000, 1 << 24, (1 << 24) + 1, int.MaxValue - 1, int.MaxValue, int.MinValue,
        }.Select(BitConverter.GetBytes),
        .. FuzzInput.Nasty.Select(BitConverter.GetBytes),
    ];

    private readonly List<byte> _data = [];

    /// <summary>A mutant of <paramref name="parent"/>, perhaps crossed with <paramref name="other"/>; valid until the next call.</summary>
    public ReadOnlySpan<byte> Mutate(byte[] parent, byte[] other)
    {
        _data.Clear();
        _data.AddRange(parent);
        if (random.Next(8) == 0)
        {
            CollectionsMarshal.SetCount(_data, random.Next(parent.Length + 1));
            _data.AddRange(other.AsSpan(random.Next(other.Length + 1)));
        }
        for (int steps = 1 << random.Next(5); steps > 0; steps--)
            Step();
        return Data[..Math.Min(_data.Count, FlightRecorder.LongestInput)];
    }

    private Span<byte> Data => CollectionsMarshal.AsSpan(_data);

    private void Step()
    {
        if (_data.Count == 0)
            _data.Add(0);
        int at = random.Next(_data.Count), field = at & ~3;
        switch (random.Next(8))
        {
            case < 3 and var how:
                _data[at] = (byte)(how == 0 ? _data[at] ^ 1 << random.Next(8) : how == 1 ? random.Next(256)
                    : _data[at] + random.Next(-16, 17));
                break;
            case 3 when field + sizeof(int) <= _data.Count:
                BitConverter.TryWriteBytes(Data[field..], BitConverter.ToInt32(Data[field..]) + random.Next(-35, 36));
                break;
            case 4:
                _data.RemoveRange(at, BlockLength(at));
                break;
            case 5:
                _data.InsertRange(at, NewBytes());
                break;
            default:
                ReadOnlySpan<byte> bytes = NewBytes();
                Span<byte> old = Data[(random.Next(2) == 0 ? at : field)..];
                bytes[..Math.Min(bytes.Length, old.Length)].CopyTo(old);
                break;
        }
    }

    private ReadOnlySpan<byte> NewBytes()
    {
        int from = random.Next(_data.Count);
        return random.Next(5) switch
        {
            0 => Data.Slice(from, BlockLength(from)).ToArray(),
            1 => BitConverter.GetBytes(_data.Count), // many formats have a field for it
            2 when words.Length > 0 => words[random.Next(words.Length)],
            _ => Numbers[random.Next(Numbers.Length)].AsSpan(0, 1 << random.Next(3)),
        };
    }

    // mostly short
    private int BlockLength(int at) => 1 + random.Next(Math.Min(_data.Count - at, 1 << random.Next(11)));
}
