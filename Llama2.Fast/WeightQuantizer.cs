using System.Buffers;
using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>Quantises float32 weights at load, to the bytes that export.py and <see cref="Quantization.QuantizeWeights"/> make of them.</summary>
public static class WeightQuantizer
{
    private const int ChunkElements = 1 << 16;

    /// <summary>The weights with every float32 matrix as int8; what shares memory with the old weights are the norms.</summary>
    /// <param name="weights">The weights of a checkpoint.</param>
    /// <param name="groupSize">Elements that share a scale; a divisor of the elements of every matrix.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core.</param>
    /// <exception cref="ArgumentException">The group size does not divide a matrix, or a matrix is not float32.</exception>
    public static Weights Quantize(Weights weights, int groupSize, int threads = 0)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfLessThan(groupSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Tensor embedding = Quantize(weights.TokenEmbedding);
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = [.. weights.Layers.Select(layer => new LayerWeights
            {
                RmsAtt = layer.RmsAtt,
                Wq = Quantize(layer.Wq),
                Wk = Quantize(layer.Wk),
                Wv = Quantize(layer.Wv),
                Wo = Quantize(layer.Wo),
                RmsFfn = layer.RmsFfn,
                W1 = Quantize(layer.W1),
                W2 = Quantize(layer.W2),
                W3 = Quantize(layer.W3),
            })],
            RmsFinal = weights.RmsFinal,
            Classifier = weights.IsClassifierShared ? embedding : Quantize(weights.Classifier),
        };

        Q8Tensor Quantize(Tensor tensor) => WeightQuantizer.Quantize(tensor, groupSize, threads == 0 ? Cores.Available : threads);
    }

    private static unsafe Q8Tensor Quantize(Tensor tensor, int groupSize, int threads)
    {
        if (tensor is not FloatTensor { Data: var data })
            throw new ArgumentException($"a {tensor.GetType().Name} is not float32", nameof(tensor));
        if (data.Length % groupSize != 0)
            throw new ArgumentException($"groups of {groupSize} do not divide {tensor.Rows} x {tensor.Columns}", nameof(groupSize));
        sbyte[] values = GC.AllocateUninitializedArray<sbyte>(data.Length, pinned: true);
        float[] scales = GC.AllocateUninitializedArray<float>(data.Length / groupSize, pinned: true);
        using MemoryHandle floats = data.Pin();
        fixed (sbyte* v = values)
        fixed (float* s = scales)
        {
            float* x = (float*)floats.Pointer;
            sbyte* to = v;
            float* toScales = s;
            int chunk = Math.Max(1, ChunkElements / groupSize), groups = scales.Length;
            Kernel kernel = Kernel.Find(null);
            Team team = Team.Shared;
            using Lock.Scope scope = team.Enter();
            team.Run(threads, (groups + chunk - 1) / chunk, (i, _) =>
            {
                int first = i * chunk, count = Math.Min(chunk, groups - first) * groupSize;
                kernel.QuantizeWeights(x + (nint)first * groupSize, count, groupSize, to + (nint)first * groupSize, toScales + first);
            });
        }
        return new Q8Tensor(tensor.Rows, tensor.Columns, groupSize, values, scales);
    }
}
