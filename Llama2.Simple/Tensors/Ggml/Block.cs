namespace Llama2.Simple.Tensors;

/// <summary>Unpacks the bytes of a block.</summary>
public delegate void BlockUnpacker(ReadOnlySpan<byte> bytes, Block block);

/// <summary>Writes the bytes of a block of floats.</summary>
internal delegate void BlockPacker(ReadOnlySpan<float> x, Span<byte> bytes);

/// <summary>
/// The numbers in a block of a quantised type. Sixteen neighbours share small integers, and all of the block its two floats: element j is
/// Scale * Scales[j / 16] * Values[j] - Min * Minima[j / 16], without the second term where the type has no minima.
/// </summary>
public sealed class Block
{
    public const int MaxElements = 256;
    public const int PartElements = 16;

    public sbyte[] Values { get; } = new sbyte[MaxElements];
    public sbyte[] Scales { get; } = new sbyte[MaxElements / PartElements]; // all 1 in a block of 32
    public sbyte[] Minima { get; } = new sbyte[MaxElements / PartElements]; // likewise
    public float Scale { get; set; }
    public float Min { get; set; }

    public Block()
    {
        Scales.AsSpan().Fill(1);
        Minima.AsSpan().Fill(1);
    }
}
