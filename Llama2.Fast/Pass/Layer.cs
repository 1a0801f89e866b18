namespace Llama2.Fast.Pass;

/// <summary>The weights of one layer by their addresses; the names are those of <see cref="LayerWeights"/>.</summary>
internal sealed unsafe class Layer(LayerWeights weights, List<MemoryHandle> pins)
{
    public readonly float* RmsAtt = Matrix.Pin(weights.RmsAtt, pins), RmsFfn = Matrix.Pin(weights.RmsFfn, pins);
    public readonly Matrix[] Kvq = [new(weights.Wk, pins), new(weights.Wv, pins), new(weights.Wq, pins)];
    public readonly Matrix Wo = new(weights.Wo, pins), W1 = new(weights.W1, pins), W2 = new(weights.W2, pins), W3 = new(weights.W3, pins);

    public readonly float*[] KvqBiases = [Bias(weights.Bk, pins), Bias(weights.Bv, pins), Bias(weights.Bq, pins)]; // null: there is none
    public readonly float* Bo = Bias(weights.Bo, pins), B1 = Bias(weights.B1, pins);
    public readonly float* B2 = Bias(weights.B2, pins), B3 = Bias(weights.B3, pins);

    private static float* Bias(ReadOnlyMemory<float> bias, List<MemoryHandle> pins) => bias.IsEmpty ? null : Matrix.Pin(bias, pins);

    public IEnumerable<Matrix> Matrices => [.. Kvq, Wo, W1, W2, W3];
}
