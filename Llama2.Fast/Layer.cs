using System.Buffers;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>The weights of one layer by their addresses; the names are those of <see cref="LayerWeights"/>.</summary>
internal sealed unsafe class Layer(LayerWeights weights, List<MemoryHandle> pins)
{
    public float* RmsAtt { get; } = Matrix.Pin(weights.RmsAtt, pins);

    public Matrix Wq { get; } = new(weights.Wq, pins);

    public Matrix Wk { get; } = new(weights.Wk, pins);

    public Matrix Wv { get; } = new(weights.Wv, pins);

    public Matrix Wo { get; } = new(weights.Wo, pins);

    public float* RmsFfn { get; } = Matrix.Pin(weights.RmsFfn, pins);

    public Matrix W1 { get; } = new(weights.W1, pins);

    public Matrix W2 { get; } = new(weights.W2, pins);

    public Matrix W3 { get; } = new(weights.W3, pins);

    /// <summary>The matrices of the layer.</summary>
    public Matrix[] Matrices => [Wq, Wk, Wv, Wo, W1, W2, W3];
}
