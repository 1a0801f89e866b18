using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Llama2.Simple.Formats;

/// <summary>
/// Tells models apart: the SHA-256 of hyperparameters and weights, so a v0 and a v1 file of the same weights are one model.
/// Of a model beyond 64 MiB only every n-th page of 64 KiB counts: training moves weights everywhere.
/// </summary>
public static class ModelFingerprint
{
    private const int PageBytes = 1 << 16;
    private const long MaxPages = 1024;

    /// <summary>The fingerprint of a model: (32,).</summary>
    public static byte[] Of(Config config, Weights weights)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(weights);
        long pages = 0, page = 0;
        Visit(weights, _ => pages++);
        long stride = Math.Max(1, pages / MaxPages);

        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes<int>([config.Dim, config.HiddenDim, config.LayerCount, config.HeadCount,
            config.KvHeadCount, config.VocabSize, config.SeqLen, weights.IsClassifierShared ? 1 : 0]));
        Visit(weights, bytes =>
        {
            if (page++ % stride == 0)
                hash.AppendData(bytes);
        });
        return hash.GetHashAndReset();
    }

    private static void Visit(Weights weights, Action<ReadOnlySpan<byte>> page)
    {
        Matrix(weights.TokenEmbedding);
        foreach (LayerWeights layer in weights.Layers)
        {
            Pages(layer.RmsAtt);
            Pages(layer.RmsFfn);
            foreach (Tensor tensor in (Tensor[])[layer.Wq, layer.Wk, layer.Wv, layer.Wo, layer.W1, layer.W2, layer.W3])
                Matrix(tensor);
        }
        Pages(weights.RmsFinal);
        if (!weights.IsClassifierShared)
            Matrix(weights.Classifier);

        void Matrix(Tensor tensor)
        {
            if (tensor is FloatTensor matrix)
            {
                Pages(matrix.Data);
            }
            else if (tensor is Q8Tensor quantized)
            {
                Pages(quantized.Values);
                Pages(quantized.Scales);
            }
        }

        void Pages<T>(ReadOnlyMemory<T> values) where T : unmanaged
        {
            int count = PageBytes / Unsafe.SizeOf<T>();
            for (int start = 0; start < values.Length; start += Math.Min(count, values.Length - start))
                page(MemoryMarshal.AsBytes(values.Span.Slice(start, Math.Min(count, values.Length - start))));
        }
    }
}
