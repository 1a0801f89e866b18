namespace Llama2.Simple.Tensors;

/// <summary>
/// A type of ggml's tensors, and so of GGUF's: elements are stored in blocks of <see cref="BlockElements"/>, each of which takes
/// <see cref="BlockBytes"/>. A row is made of whole blocks.
/// </summary>
public sealed class GgmlType
{
    private GgmlType(uint id, string name, int blockElements, int blockBytes,
        BlockUnpacker? unpack = null, BlockPacker? pack = null, bool hasMinima = false)
    {
        (Id, Name, BlockElements, BlockBytes) = (id, name, blockElements, blockBytes);
        (Unpack, Pack, HasMinima) = (unpack, pack, hasMinima);
    }

    public static readonly GgmlType F32 = new(0, "f32", 1, 4, pack: BlockQuantizer.ToFloat32);
    public static readonly GgmlType F16 = new(1, "f16", 1, 2, pack: BlockQuantizer.ToFloat16);
    public static readonly GgmlType BF16 = new(30, "bf16", 1, 2, pack: BlockQuantizer.ToBFloat16);

    /// <summary>All there are in today's ggml.</summary>
    public static IReadOnlyList<GgmlType> All { get; } =
    [
        F32,
        F16,
        new(2, "q4_0", 32, 18, SmallBlocks.Q40, BlockQuantizer.ToQ40),
        new(3, "q4_1", 32, 20, SmallBlocks.Q41, hasMinima: true),
        new(6, "q5_0", 32, 22, SmallBlocks.Q50),
        new(7, "q5_1", 32, 24, SmallBlocks.Q51, hasMinima: true),
        new(8, "q8_0", 32, 34, SmallBlocks.Q80, BlockQuantizer.ToQ80),
        new(9, "q8_1", 32, 36),
        new(10, "q2_K", 256, 84, KBlocks.Q2K, hasMinima: true),
        new(11, "q3_K", 256, 110, KBlocks.Q3K),
        new(12, "q4_K", 256, 144, KBlocks.Q4K, KQuantizer.ToQ4K, hasMinima: true),
        new(13, "q5_K", 256, 176, KBlocks.Q5K, hasMinima: true),
        new(14, "q6_K", 256, 210, KBlocks.Q6K, KQuantizer.ToQ6K),
        new(15, "q8_K", 256, 292),
        new(16, "iq2_xxs", 256, 66),
        new(17, "iq2_xs", 256, 74),
        new(18, "iq3_xxs", 256, 98),
        new(19, "iq1_s", 256, 50),
        new(20, "iq4_nl", 32, 18, SmallBlocks.Iq4Nl),
        new(21, "iq3_s", 256, 110),
        new(22, "iq2_s", 256, 82),
        new(23, "iq4_xs", 256, 136, KBlocks.Iq4Xs),
        new(24, "i8", 1, 1),
        new(25, "i16", 1, 2),
        new(26, "i32", 1, 4),
        new(27, "i64", 1, 8),
        new(28, "f64", 1, 8),
        new(29, "iq1_m", 256, 56),
        BF16,
        new(34, "tq1_0", 256, 54),
        new(35, "tq2_0", 256, 66),
        new(39, "mxfp4", 32, 17),
        new(40, "nvfp4", 64, 36),
        new(41, "q1_0", 128, 18),
        new(42, "q2_0", 64, 18),
    ];

    /// <summary>Types that ggml took back; files of them still lie about.</summary>
    private static readonly (uint Id, string Name)[] Former =
    [
        (4, "q4_2"), (5, "q4_3"), (31, "q4_0_4_4"), (32, "q4_0_4_8"), (33, "q4_0_8_8"), (36, "iq4_nl_4_4"), (37, "iq4_nl_4_8"),
        (38, "iq4_nl_8_8"),
    ];

    public uint Id { get; }           // in files
    public string Name { get; }       // ggml's: q4_0, q4_K
    public int BlockElements { get; } // 1 where every element stands alone
    public int BlockBytes { get; }

    /// <summary>How a block becomes numbers; null for floats, and for types that are not read.</summary>
    public BlockUnpacker? Unpack { get; }

    /// <summary>How floats become a block; null for types that floats are not made.</summary>
    internal BlockPacker? Pack { get; }

    /// <summary>Whether <see cref="Block.Min"/> is of use.</summary>
    public bool HasMinima { get; }

    /// <summary>Whether <see cref="GgmlTensor.Create(GgmlType, int, int, Formats.MappedFile, long)"/> makes a tensor of it.</summary>
    public bool IsReadable => Unpack is not null || this == F32 || this == F16 || this == BF16;

    /// <summary>The type of this id, or null where ggml has none, or has none any more.</summary>
    public static GgmlType? Find(uint id) => All.FirstOrDefault(type => type.Id == id);

    /// <summary>The name of an id for messages: of a type that ggml has or had, else the number.</summary>
    public static string NameOf(uint id) => Find(id)?.Name ?? Array.Find(Former, type => type.Id == id).Name ?? $"ggml type {id}";

    /// <summary>The type of this name, or null.</summary>
    public static GgmlType? Find(string name) => All.FirstOrDefault(type => type.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Bytes of a row.</summary>
    /// <param name="columns">Elements in it: whole blocks.</param>
    public long RowBytes(int columns) => columns / BlockElements * (long)BlockBytes;

    public override string ToString() => Name;
}
