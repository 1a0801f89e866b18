using Llama2.Simple;

namespace Llama2.Tests;

/// <summary>The float32 weights that int8 ones stand for.</summary>
internal static class Dequantised
{
    public static Weights Of(Weights w)
    {
        Tensor embedding = Of(w.TokenEmbedding);
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = [.. w.Layers.Select(layer => new LayerWeights
            {
                RmsAtt = layer.RmsAtt,
                Wq = Of(layer.Wq),
                Wk = Of(layer.Wk),
                Wv = Of(layer.Wv),
                Wo = Of(layer.Wo),
                RmsFfn = layer.RmsFfn,
                W1 = Of(layer.W1),
                W2 = Of(layer.W2),
                W3 = Of(layer.W3),
            })],
            RmsFinal = w.RmsFinal,
            Classifier = w.IsClassifierShared ? embedding : Of(w.Classifier),
        };
    }

    private static FloatTensor Of(Tensor tensor)
    {
        float[] floats = new float[tensor.Rows * tensor.Columns];
        for (int row = 0; row < tensor.Rows; row++)
            tensor.CopyRow(row, floats.AsSpan(row * tensor.Columns, tensor.Columns));
        return new FloatTensor(tensor.Rows, tensor.Columns, floats);
    }
}
