namespace Llama2.Fast.Kernels;

// Blocks of 32, eight of them a unit: the layouts are described in Simple's SmallBlocks.

internal readonly unsafe struct Q40 : IBlocks
{
    private const int Size = 18;

    public static int UnitBytes => 8 * Size;
    public static int Bias => 8;
    [MethodImpl(Jit.Inline)] public static Vector256<byte> Weights(byte* unit, int group) => PackedBits.Nibbles(unit + group * Size + 2);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Strided(unit, Size), default);
}

internal readonly unsafe struct Q41 : IBlocks
{
    private const int Size = 20;

    public static int UnitBytes => 8 * Size;
    public static bool HasMinima => true;
    [MethodImpl(Jit.Inline)] public static Vector256<byte> Weights(byte* unit, int group) => PackedBits.Nibbles(unit + group * Size + 4);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) =>
        (Halves.Strided(unit, Size), -Halves.Strided(unit + 2, Size));
}

internal readonly unsafe struct Q50 : IBlocks
{
    private const int Size = 22;

    public static int UnitBytes => 8 * Size;
    public static int Bias => 16;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Nibbles(unit + group * Size + 6) | PackedBits.FifthBits(unit + group * Size + 2);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Strided(unit, Size), default);
}

internal readonly unsafe struct Q51 : IBlocks
{
    private const int Size = 24;

    public static int UnitBytes => 8 * Size;
    public static bool HasMinima => true;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) =>
        PackedBits.Nibbles(unit + group * Size + 8) | PackedBits.FifthBits(unit + group * Size + 4);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) =>
        (Halves.Strided(unit, Size), -Halves.Strided(unit + 2, Size));
}

internal readonly unsafe struct Q80 : IBlocks
{
    private const int Size = 34;

    public static int UnitBytes => 8 * Size;
    public static bool IsSigned => true;
    [MethodImpl(Jit.Inline)] public static Vector256<byte> Weights(byte* unit, int group) => Vector256.Load(unit + group * Size + 2);

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Strided(unit, Size), default);
}

internal readonly unsafe struct Iq4Nl : IBlocks
{
    private const int Size = 18;

    public static int UnitBytes => 8 * Size;
    public static bool IsSigned => true;

    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Weights(byte* unit, int group) => PackedBits.NonLinear(PackedBits.Nibbles(unit + group * Size + 2));

    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> Scales, Vector256<float> Minima) Floats(byte* unit) => (Halves.Strided(unit, Size), default);
}
