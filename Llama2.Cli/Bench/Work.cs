using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>How much a token costs at least, whoever computes it; the limits of the machine are compared with that.</summary>
internal static class Work
{
    /// <summary>Elements of all weights.</summary>
    public static long Parameters(CheckpointHeader header) => Tensors(header).Sum(spec => spec.Count * spec.Elements);

    /// <summary>
    /// Bytes of weights that a token reads: all, but of an embedding table that is no classifier one row, and of a classifier only
    /// <paramref name="shortlist"/> where that is not 0.
    /// </summary>
    public static long WeightBytes(CheckpointHeader header, long shortlist = 0) =>
        Tensors(header).Sum(spec => spec.Name == (header.SharedClassifier ? "token_embedding_table" : "wcls") && shortlist > 0 ? shortlist
            : spec.Name == "token_embedding_table" && !header.SharedClassifier ? 0
            : spec.Count * spec.Bytes);

    /// <summary>Bytes read for a token, on average over positions 0 to <paramref name="tokens"/> - 1: those of the weights, and the keys and values so far.</summary>
    public static double DecodeBytes(CheckpointHeader header, int tokens, long shortlist = 0) =>
        WeightBytes(header, shortlist) + 2.0 * sizeof(float) * header.Config.KvDim * header.Config.LayerCount * MeanPositions(tokens);

    /// <summary>
    /// Floating-point operations for a token of a prompt of <paramref name="tokens"/> tokens: two for each element of a matrix,
    /// of the classifier only once a prompt, and two for each element of the keys and values so far, for each head.
    /// </summary>
    public static double PrefillOperations(CheckpointHeader header, int tokens)
    {
        double matrices = Tensors(header).Where(spec => spec.Name is not ("token_embedding_table" or "wcls") && spec.Rows > 1).Sum(spec => (double)spec.Count * spec.Elements);
        double attention = 2.0 * header.Config.Dim * header.Config.LayerCount * MeanPositions(tokens);
        double classifier = (double)header.Config.VocabSize * header.Config.Dim / tokens;
        return 2 * (matrices + attention + classifier);
    }

    private static double MeanPositions(int tokens) => (tokens + 1) / 2.0;

    private static IEnumerable<TensorSpec> Tensors(CheckpointHeader header) => header.Tensors().Where(spec => spec.Name != "rope_tables");
}
