using System.Buffers.Binary;

namespace Llama2.Fuzz.Engine;

/// <summary>Makes new inputs of old ones, in a buffer of its own.</summary>
internal sealed class Mutator(Random random, byte[][] dictionary, int maxLength)
{
    private static readonly int[] Integers =
    [
        -1, 0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 512, 1000, 1024, 4096,
        32767, 32768, 65535, 65536, 100_000, 1 << 24, (1 << 24) + 1, int.MaxValue - 1, int.MaxValue, int.MinValue, -2, -128, -129,
    ];

    private static readonly float[] Floats =
    [
        0f, -0f, 1f, -1f, 0.5f, 0.49999997f, 1.5f, 2.5f, 127f, -127.5f, 128f, 16777216f, 1e-5f, 1e-9f, 1e-20f, 1e20f,
        float.Epsilon, -float.Epsilon, 1.17549435e-38f, 1.1754942e-38f, float.MaxValue, float.MinValue,
        float.PositiveInfinity, float.NegativeInfinity, float.NaN, 88.7f, -88.7f, -103.97f,
    ];

    private readonly byte[] _buffer = new byte[maxLength];
    private int _length;

    /// <summary>A mutant of <paramref name="data"/>, perhaps crossed with <paramref name="other"/>; good until the next call.</summary>
    public ReadOnlySpan<byte> Mutate(ReadOnlySpan<byte> data, ReadOnlySpan<byte> other)
    {
        _length = Math.Min(data.Length, maxLength);
        data[.._length].CopyTo(_buffer);
        if (random.Next(8) == 0)
            Splice(other);
        for (int steps = 1 << random.Next(5); steps > 0; steps--)
            Step();
        return _buffer.AsSpan(0, _length);
    }

    private Span<byte> Used => _buffer.AsSpan(0, _length);

    private void Step()
    {
        if (_length == 0)
        {
            InsertRandom();
            return;
        }
        switch (random.Next(13))
        {
            case 0:
                _buffer[random.Next(_length)] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                _buffer[random.Next(_length)] = (byte)random.Next(256);
                break;
            case 2:
                _buffer[random.Next(_length)] += (byte)random.Next(-16, 17);
                break;
            case 3:
                AddToWord();
                break;
            case 4 or 5:
                Overwrite(Word(Integers[random.Next(Integers.Length)]));
                break;
            case 6:
                Overwrite(Word(BitConverter.SingleToInt32Bits(Floats[random.Next(Floats.Length)])), whole: true);
                break;
            case 7:
                Delete();
                break;
            case 8:
                InsertRandom();
                break;
            case 9:
                CopyWithin(insert: true);
                break;
            case 10:
                CopyWithin(insert: false);
                break;
            case 11:
                Overwrite(Word(_length), whole: true); // a length field is often that of all there is
                break;
            default:
                if (dictionary.Length == 0)
                    Overwrite(Word(random.Next()));
                else if (random.Next(2) == 0)
                    Overwrite(dictionary[random.Next(dictionary.Length)], whole: true);
                else
                    Insert(random.Next(_length + 1), dictionary[random.Next(dictionary.Length)]);
                break;
        }
    }

    private static byte[] Word(int value)
    {
        byte[] word = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(word, value);
        return word;
    }

    /// <summary>Writes a value, or only its lowest 1 or 2 bytes; half of the time where a field may be, at a multiple of four.</summary>
    private void Overwrite(ReadOnlySpan<byte> value, bool whole = false)
    {
        int at = random.Next(_length);
        if (random.Next(2) == 0)
            at &= ~3;
        int width = Math.Min(whole ? value.Length : 1 << random.Next(3), value.Length);
        value[..Math.Min(width, _length - at)].CopyTo(_buffer.AsSpan(at));
    }

    private void AddToWord()
    {
        int at = random.Next(_length) & ~3;
        if (at + sizeof(int) > _length)
            return;
        Span<byte> word = _buffer.AsSpan(at, sizeof(int));
        int delta = random.Next(-35, 36);
        if (random.Next(4) == 0)
            BinaryPrimitives.WriteInt32BigEndian(word, BinaryPrimitives.ReadInt32BigEndian(word) + delta);
        else
            BinaryPrimitives.WriteInt32LittleEndian(word, BinaryPrimitives.ReadInt32LittleEndian(word) + delta);
    }

    private void Delete()
    {
        int from = random.Next(_length);
        int count = BlockLength(_length - from);
        Used[(from + count)..].CopyTo(Used[from..]);
        _length -= count;
    }

    private void InsertRandom()
    {
        Span<byte> block = stackalloc byte[1 + random.Next(8)];
        random.NextBytes(block);
        Insert(random.Next(_length + 1), block);
    }

    private void CopyWithin(bool insert)
    {
        int from = random.Next(_length);
        byte[] block = Used.Slice(from, BlockLength(_length - from)).ToArray();
        int to = random.Next(_length);
        if (insert)
            Insert(to, block);
        else
            block.AsSpan(0, Math.Min(block.Length, _length - to)).CopyTo(Used[to..]);
    }

    private void Splice(ReadOnlySpan<byte> other)
    {
        int keep = random.Next(_length + 1);
        ReadOnlySpan<byte> tail = other[random.Next(other.Length + 1)..];
        tail = tail[..Math.Min(tail.Length, maxLength - keep)];
        tail.CopyTo(_buffer.AsSpan(keep));
        _length = keep + tail.Length;
    }

    private void Insert(int at, ReadOnlySpan<byte> block)
    {
        if (_length + block.Length > maxLength)
            return;
        Used[at..].CopyTo(_buffer.AsSpan(at + block.Length));
        block.CopyTo(_buffer.AsSpan(at));
        _length += block.Length;
    }

    // mostly short
    private int BlockLength(int most) => 1 + random.Next(Math.Min(most, 1 << random.Next(11)));
}
