namespace Llama2.Simple;

/// <summary>The hyperparameters of the architecture (the blueprint), named as in run.c.</summary>
/// <param name="Dim">Transformer dimension: the width of the residual stream.</param>
/// <param name="HiddenDim">Width of the feed-forward layers.</param>
/// <param name="LayerCount">Number of layers.</param>
/// <param name="HeadCount">Number of query heads.</param>
/// <param name="KvHeadCount">Number of key/value heads; fewer than <paramref name="HeadCount"/> is grouped-query attention (GQA).</param>
/// <param name="VocabSize">Number of tokens.</param>
/// <param name="SeqLen">Context length: the most positions a <see cref="KvCache"/> can hold.</param>
public sealed record Config(int Dim, int HiddenDim, int LayerCount, int HeadCount, int KvHeadCount, int VocabSize, int SeqLen)
{
    /// <summary>Floats in one attention head.</summary>
    public int HeadSize => Dim / HeadCount;

    /// <summary>Floats of one position's keys (and of its values): the key/value heads side by side.</summary>
    public int KvDim => HeadSize * KvHeadCount;

    /// <summary>How many query heads share one key/value head.</summary>
    public int KvMul => HeadCount / KvHeadCount;
}
