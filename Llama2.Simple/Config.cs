namespace Llama2.Simple;

/// <summary>The hyperparameters of the architecture (the blueprint); <see cref="FieldNames"/> are their names in run.c.</summary>
/// <param name="Dim">Transformer dimension: the width of the residual stream.</param>
/// <param name="HiddenDim">Width of the feed-forward layers.</param>
/// <param name="LayerCount">Number of layers.</param>
/// <param name="HeadCount">Number of query heads.</param>
/// <param name="KvHeadCount">Number of key/value heads; fewer than <paramref name="HeadCount"/> is grouped-query attention (GQA).</param>
/// <param name="VocabSize">Number of tokens.</param>
/// <param name="SeqLen">Context length: the maximum number of positions in a <see cref="KvCache"/>.</param>
public sealed record Config(int Dim, int HiddenDim, int LayerCount, int HeadCount, int KvHeadCount, int VocabSize, int SeqLen)
{
    // run.c's values, which other formats may replace
    public float NormEpsilon { get; init; } = 1e-5f;    // added to the mean square in RMSNorm
    public float RopeBase { get; init; } = 10000;       // of RoPE's frequencies
    public RopeScaling? RopeScaling { get; init; }      // of RoPE's frequencies, for a longer context than the model was trained with

    /// <summary>Floats in one attention head; <see cref="Dim"/> / <see cref="HeadCount"/> unless it is set.</summary>
    public int HeadSize { get => field > 0 ? field : Dim / HeadCount; init; }

    /// <summary>Floats of a head that RoPE turns, from its first; all of them unless it is set.</summary>
    public int RopeDim { get => field > 0 ? field : HeadSize; init; }

    /// <summary>run.c's names of the fields, in the order of a checkpoint's header, and their values.</summary>
    public static IReadOnlyList<string> FieldNames { get; } =
        ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];

    public int[] Fields => [Dim, HiddenDim, LayerCount, HeadCount, KvHeadCount, VocabSize, SeqLen];
    public static Config FromFields(ReadOnlySpan<int> f) => new(f[0], f[1], f[2], f[3], f[4], f[5], f[6]);

    public int QDim => HeadSize * HeadCount;     // floats of one position's queries: the heads side by side; dim in run.c
    public int KvDim => HeadSize * KvHeadCount;  // floats of one position's keys (and of its values): the heads side by side
    public int KvMul => HeadCount / KvHeadCount; // query heads that share one key/value head
}
