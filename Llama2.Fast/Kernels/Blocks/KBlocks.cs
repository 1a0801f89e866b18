namespace Llama2.Fast.Kernels;

// Blocks of 256, each a unit: the layouts are described in Simple's KBlocks.

internal readonly unsafe struct Q2K : IBlocks
{
    public static int UnitBytes => 84;
    public static Shared Scale => Shared.Part;
    public static bool HasMinima => true;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Bits(Vector256.Load(unit + 16 + group / 4 * 32), group % 4 * 2, mask: 3);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => Halves.BroadcastTwo(unit + 80);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> First, Vector256<int> Last) ScalesOfParts(byte* unit) =>
        PackedBits.OfParts((Vector128.Load(unit) & Vector128.Create((byte)15)).AsSByte());

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> First, Vector256<int> Last) MinimaOfParts(byte* unit) =>
        PackedBits.OfParts((Vector128.Load(unit) >>> 4).AsSByte());
}

internal readonly unsafe struct Q3K : IBlocks
{
    private const ulong EveryNibble = 0x0f0f_0f0f_0f0f_0f0f;
    private const uint EveryTwoBits = 0x0303_0303;

    public static int UnitBytes => 110;
    public static int Bias => 4;
    public static Shared Scale => Shared.Part;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Bits(Vector256.Load(unit + 32 + group / 4 * 32), group % 4 * 2, mask: 3)
        | PackedBits.Bits(Vector256.Load(unit), group - 2, mask: 4);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Broadcast(unit + 108), default);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> First, Vector256<int> Last) ScalesOfParts(byte* unit)
    {
        ulong low = Unsafe.ReadUnaligned<ulong>(unit + 96);
        uint high = Unsafe.ReadUnaligned<uint>(unit + 104);
        ulong first = low & EveryNibble | HighBits(high) << 4, last = low >> 4 & EveryNibble | HighBits(high >> 4) << 4;
        return PackedBits.OfParts(Vector128.Create(first, last).AsSByte() - Vector128.Create((sbyte)32));
    }

    // The lowest two bits of each byte, then the next two.
    [MethodImpl(Jit.Inline)] private static ulong HighBits(uint v) => v & EveryTwoBits | (ulong)(v >> 2 & EveryTwoBits) << 32;
}

internal readonly unsafe struct Q4K : IBlocks
{
    private const uint EverySixBits = 0x3f3f_3f3f, EveryNibble = 0x0f0f_0f0f, EveryHighBits = 0x3030_3030;

    public static int UnitBytes => 144;
    public static Shared Scale => Shared.Group;
    public static bool HasMinima => true;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Bits(Vector256.Load(unit + 16 + group / 2 * 32), group % 2 * 4, mask: 15);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => Halves.BroadcastTwo(unit);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> Scales, Vector256<int> Minima) OfGroups(byte* unit)
    {
        uint scales = Unsafe.ReadUnaligned<uint>(unit + 4), minima = Unsafe.ReadUnaligned<uint>(unit + 8);
        uint last = Unsafe.ReadUnaligned<uint>(unit + 12);
        uint lastScales = last & EveryNibble | scales >> 2 & EveryHighBits;
        uint lastMinima = last >> 4 & EveryNibble | minima >> 2 & EveryHighBits;
        return (PackedBits.ToInts(scales & EverySixBits | (ulong)lastScales << 32),
            PackedBits.ToInts(minima & EverySixBits | (ulong)lastMinima << 32));
    }
}

internal readonly unsafe struct Q5K : IBlocks
{
    public static int UnitBytes => 176;
    public static Shared Scale => Shared.Group;
    public static bool HasMinima => true;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Bits(Vector256.Load(unit + 48 + group / 2 * 32), group % 2 * 4, mask: 15)
        | PackedBits.Bits(Vector256.Load(unit + 16), group - 4, mask: 16);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => Q4K.Floats(unit);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> Scales, Vector256<int> Minima) OfGroups(byte* unit) => Q4K.OfGroups(unit);
}

internal readonly unsafe struct Q6K : IBlocks
{
    public static int UnitBytes => 210;
    public static int Bias => 32;
    public static Shared Scale => Shared.Part;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Bits(Vector256.Load(unit + group / 4 * 64 + group % 2 * 32), group / 2 % 2 * 4, mask: 15)
        | PackedBits.Bits(Vector256.Load(unit + 128 + group / 4 * 32), group % 4 * 2 - 4, mask: 48);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Broadcast(unit + 208), default);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> First, Vector256<int> Last) ScalesOfParts(byte* unit) =>
        PackedBits.OfParts(Vector128.Load((sbyte*)unit + 192));
}

internal readonly unsafe struct Iq4Xs : IBlocks
{
    public static int UnitBytes => 136;
    public static bool IsSigned => true;
    public static Shared Scale => Shared.Group;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) => PackedBits.NonLinear(PackedBits.Nibbles(unit + 8 + group * 16));

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Broadcast(unit), default);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> Scales, Vector256<int> Minima) OfGroups(byte* unit)
    {
        uint high = Unsafe.ReadUnaligned<ushort>(unit + 2), low = Unsafe.ReadUnaligned<uint>(unit + 4);
        return (Vector256.Create(Of(0), Of(1), Of(2), Of(3), Of(4), Of(5), Of(6), Of(7)), default);

        int Of(int group) => (int)(low >> 4 * group & 15 | (high >> 2 * group & 3) << 4) - 32;
    }
}
