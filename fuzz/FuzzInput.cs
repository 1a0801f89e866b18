namespace Llama2.Fuzz;

/// <summary>
/// Reads decisions from the bytes of an input, first to last; behind the last byte, all are zero. Memory that it gives lives as long.
/// </summary>
internal sealed class FuzzInput(ReadOnlySpan<byte> data) : IDisposable
{
    // signs, halves, denormals, the ends of the range, infinities and NaN
    public static readonly float[] Nasty =
    [
        0f, -0f, 1f, -1f, 0.5f, 0.49999997f, 2.5f, -127.5f, 16777216f, 1e-9f, 1e9f, 1e-20f, 1e20f, float.Epsilon, -float.Epsilon,
        1.17549435e-38f, 1.1754942e-38f, 1e-38f, float.MaxValue, float.MinValue, 88.7f, -103.97f,
        float.PositiveInfinity, float.NegativeInfinity, float.NaN,
    ];

    private readonly byte[] _data = data.ToArray();
    private readonly List<IDisposable> _memory = [];
    private int _next;

    /// <summary>The bytes not yet read.</summary>
    public ReadOnlySpan<byte> Rest => _data.AsSpan(_next);

    public int Byte() => _next < _data.Length ? _data[_next++] : 0;

    /// <summary>A number from <paramref name="min"/> to <paramref name="max"/>, at most 65,536 of them.</summary>
    public int Between(int min, int max)
    {
        int range = max - min + 1;
        return min + ((range <= 256 ? Byte() : Byte() + (Byte() << 8)) % range);
    }

    public bool Bool() => (Byte() & 1) != 0;

    /// <summary>The next bytes, as many as there are.</summary>
    public ReadOnlySpan<byte> Bytes(int count)
    {
        ReadOnlySpan<byte> bytes = Rest[..Math.Min(count, Rest.Length)];
        _next += bytes.Length;
        return bytes;
    }

    public T Value<T>() where T : unmanaged
    {
        Span<T> value = stackalloc T[1];
        Bytes(Marshal.SizeOf<T>()).CopyTo(MemoryMarshal.AsBytes(value));
        return value[0];
    }

    /// <summary>Memory between guard pages: it lies at one of them, or has any alignment.</summary>
    public Memory<T> Guard<T>(int length) where T : unmanaged
    {
        int place = Byte();
        GuardedMemory<T> memory = new(length, beforeEnd: (place % 4) switch { 0 => 0, 1 => -1, _ => place / 4 });
        _memory.Add(memory);
        return memory.Memory;
    }

    public Memory<T> Guard<T>(ReadOnlySpan<T> contents) where T : unmanaged
    {
        Memory<T> memory = Guard<T>(contents.Length);
        contents.CopyTo(memory.Span);
        return memory;
    }

    /// <summary>The bytes not yet read, as often as they fit, a little different each time; a pattern if none are left.</summary>
    public void FillBytes(Span<byte> bytes)
    {
        ReadOnlySpan<byte> rest = Rest;
        for (int i = 0; i < bytes.Length; i++)
            bytes[i] = (byte)(rest.IsEmpty ? i * 59 : rest[i % rest.Length] + (i / rest.Length * 37));
    }

    /// <summary>Floats of a kind that the next byte chooses: of any bits, small ones, or small ones with nasty ones among them.</summary>
    public void Fill(Span<float> floats)
    {
        int kind = Byte();
        ReadOnlySpan<byte> bytes = kind % 4 == 0 ? Bytes(4 * floats.Length) : Bytes(floats.Length);
        for (int i = 0; i < floats.Length; i++)
        {
            // behind the last byte the first follows again, a little different
            int b = bytes.IsEmpty ? i * 37 : bytes[i % bytes.Length] + (i / bytes.Length);
            floats[i] = (kind % 4) switch
            {
                0 when i < bytes.Length / 4 => MemoryMarshal.Read<float>(bytes[(4 * i)..]),
                1 when b % 8 == 7 => Nasty[(b >> 3) % Nasty.Length],
                2 => (sbyte)b * MathF.Pow(2, (kind >> 2) - 40),
                _ => (sbyte)b / 64f,
            };
        }
    }

    public void Dispose() => _memory.ForEach(memory => memory.Dispose());
}
