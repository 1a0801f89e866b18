using FsCheck;
using FsCheck.Fluent;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Properties;

/// <summary>
/// A model that a property is tried on: its shape, and the palette and seed of its weights. Small numbers, so that it
/// shrinks to the smallest model that still fails.
/// </summary>
/// <param name="Version">Of the checkpoint: 0 and 1 are float32, 2 is int8.</param>
/// <param name="HalfHead">Half the size of a head, since RoPE turns pairs.</param>
/// <param name="KvHeads">Key/value heads.</param>
/// <param name="KvMul">Query heads that share one of them.</param>
/// <param name="Hidden">Hidden dimension.</param>
/// <param name="Layers">Layers.</param>
/// <param name="Vocab">Tokens.</param>
/// <param name="SeqLen">Context length.</param>
/// <param name="Shared">Whether the classifier is the embedding table.</param>
/// <param name="GroupChoice">Which of the group sizes that are possible, from the greatest at 0.</param>
/// <param name="Palette">Kind of numbers.</param>
/// <param name="Seed">Of the numbers.</param>
public sealed record ModelShape(
    int Version,
    int HalfHead,
    int KvHeads,
    int KvMul,
    int Hidden,
    int Layers,
    int Vocab,
    int SeqLen,
    bool Shared,
    int GroupChoice,
    Palette Palette,
    int Seed)
{
    /// <summary>A small model, from which tests of one case differ in what the case is about.</summary>
    public static readonly ModelShape Tiny = new(
        Version: 0, HalfHead: 1, KvHeads: 1, KvMul: 2, Hidden: 6, Layers: 2, Vocab: 5, SeqLen: 7, Shared: false, GroupChoice: 0,
            Palette.Normal, Seed: 3);

    public Config Config => new(2 * HalfHead * KvHeads * KvMul, Hidden, Layers, KvHeads * KvMul, KvHeads, Vocab, SeqLen);

    public CheckpointHeader Header => new(Version, Config, Shared, GroupSize);

    /// <summary>Some divisor of every tensor's elements, so also one that straddles rows; 0 where weights are float32.</summary>
    public int GroupSize
    {
        get
        {
            if (Version < 2)
                return 0;
            long common = new CheckpointHeader(2, Config, Shared, 1).Tensors()
                .Where(tensor => tensor.GroupSize > 0)
                .Aggregate(0L, (gcd, tensor) => Gcd(tensor.Elements, gcd));
            int[] sizes = [.. Enumerable.Range(1, (int)Math.Min(common, 256)).Where(size => common % size == 0).Reverse()];
            return sizes[GroupChoice % sizes.Length];
        }
    }

    /// <summary>Multiplications of a forward pass, attention left out.</summary>
    private long Work => Layers * (2L * Config.Dim * (Config.Dim + Config.KvDim) + (3L * Config.Dim * Hidden)) + ((long)Vocab * Config.Dim);

    /// <summary>Shapes with weights of these palettes.</summary>
    public static Gen<ModelShape> Generator(params Palette[] palettes)
    {
        Gen<ModelShape> any =
            from version in Gen.Elements(0, 1, 2)
            from halfHead in Gen.Frequency((6, Gen.Choose(1, 9)), (2, Gen.Elements(12, 16, 24, 32)), (1, Gen.Choose(33, 64)))
            from kvHeads in Gen.Choose(1, 4)
            from kvMul in Gen.Elements(1, 1, 2, 3, 4, 8)
            from hidden in Gen.Frequency((2, Gen.Choose(1, 40)), (2, Gen.Elements(16, 32, 64, 128, 192)), (1, Gen.Choose(41, 300)))
            from layers in Gen.Choose(1, 5)
            from vocab in Gen.Frequency((2, Gen.Choose(3, 40)), (1, Gen.Choose(41, 600)))
            from seqLen in Gen.Choose(1, 80)
            from shared in Gen.Elements(true, false)
            from groupChoice in Gen.Choose(0, 6)
            from palette in Gen.Elements(palettes)
            from seed in Gen.Choose(1, 1_000_000)
            select new ModelShape(version, halfHead, kvHeads, kvMul, hidden, layers, vocab, seqLen, shared, groupChoice, palette, seed);
        return any.Where(shape => shape.Work <= 400_000);
    }

    /// <summary>The next smaller models, the smallest first.</summary>
    public IEnumerable<ModelShape> Shrink() =>
    [
        .. Shrinking.Towards(1, Layers).Select(x => this with { Layers = x }),
        .. Shrinking.Towards(1, KvMul).Select(x => this with { KvMul = x }),
        .. Shrinking.Towards(1, KvHeads).Select(x => this with { KvHeads = x }),
        .. Shrinking.Towards(1, HalfHead).Select(x => this with { HalfHead = x }),
        .. Shrinking.Towards(1, Hidden).Select(x => this with { Hidden = x }),
        .. Shrinking.Towards(3, Vocab).Select(x => this with { Vocab = x }),
        .. Shrinking.Towards(1, SeqLen).Select(x => this with { SeqLen = x }),
        .. Shrinking.Towards(0, GroupChoice).Select(x => this with { GroupChoice = x }),
        .. Shrinking.Towards(0, Version).Select(x => this with { Version = x }),
        .. Shared ? Array.Empty<ModelShape>() : [this with { Shared = true }],
        .. Palette == Palette.Normal ? Array.Empty<ModelShape>() : [this with { Palette = Palette.Normal }],
    ];

    /// <summary>The weights, in memory: float32, or int8 as an export of them has it.</summary>
    /// <param name="least">Whether every fifth int8 is -128, which no export writes but a file may hold.</param>
    public Weights CreateWeights(bool least = false)
    {
        Config c = Config;
        int groupSize = GroupSize;
        Random random = new(Seed);
        Tensor embedding = Matrix(c.VocabSize, c.Dim);
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = [.. Enumerable.Range(0, Layers).Select(_ => new LayerWeights
            {
                RmsAtt = Palette.Numbers(random, c.Dim),
                Wq = Matrix(c.Dim, c.Dim),
                Wk = Matrix(c.KvDim, c.Dim),
                Wv = Matrix(c.KvDim, c.Dim),
                Wo = Matrix(c.Dim, c.Dim),
                RmsFfn = Palette.Numbers(random, c.Dim),
                W1 = Matrix(Hidden, c.Dim),
                W2 = Matrix(c.Dim, Hidden),
                W3 = Matrix(Hidden, c.Dim),
            })],
            RmsFinal = Palette.Numbers(random, c.Dim),
            Classifier = Shared ? embedding : Matrix(c.VocabSize, c.Dim),
        };

        Tensor Matrix(int rows, int columns)
        {
            float[] numbers = Palette.Numbers(random, rows * columns, 2 / MathF.Sqrt(columns));
            if (Version < 2)
                return new Float32Tensor(rows, columns, numbers);
            sbyte[] values = new sbyte[numbers.Length];
            float[] scales = new float[numbers.Length / groupSize];
            Quantization.QuantizeWeights(numbers, groupSize, values, scales);
            for (int i = 0; least && i < values.Length; i += 5)
                values[i] = sbyte.MinValue;
            return new Q8GroupsTensor(rows, columns, groupSize, values, scales);
        }
    }

    /// <summary>The bytes of a checkpoint.</summary>
    public byte[] CreateFile()
    {
        using MemoryStream stream = new();
        CheckpointWriter.Write(stream, Header, CreateWeights());
        return stream.ToArray();
    }

    private static long Gcd(long a, long b) => b == 0 ? a : Gcd(b, a % b);
}
