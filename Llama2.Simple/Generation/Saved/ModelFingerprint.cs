using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Simple.Tensors;

namespace Llama2.Simple.Generation.Saved;

/// <summary>
/// Tells models apart: the SHA-256 of hyperparameters and weights, so a v0 and a v1 file of the same weights are one model. Of a model
/// beyond 64 MiB only every n-th page of 64 KiB counts: training moves weights everywhere.
/// </summary>
public static class ModelFingerprint
{
    private const int PageBytes = 1 << 16;
    private const long MaxPages = 1024;

    /// <summary>The fingerprint of a model: (32,).</summary>
    public static byte[] Of(Config config, Weights weights)
    {
        long pages = 0, page = 0;
        Visit(weights, _ => pages++);
        long stride = Math.Max(1, pages / MaxPages);

        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes<int>([.. config.Fields, weights.IsClassifierShared ? 1 : 0]));
        if (config != Config.FromFields(config.Fields)) // it has what no checkpoint of llama2.c can say
            hash.AppendData(MemoryMarshal.AsBytes<float>(Further(config)));
        Visit(weights, bytes =>
        {
            if (page++ % stride == 0)
                hash.AppendData(bytes);
        });
        return hash.GetHashAndReset();
    }

    private static float[] Further(Config c)
    {
        RopeScaling scaling = c.RopeScaling ?? new RopeScaling(1);
        return [c.NormEpsilon, c.RopeBase, c.HeadSize, c.RopeDim,
            scaling.Factor, scaling.Magnitude, scaling.HasRamp ? 1 : 0, scaling.RampStart, scaling.RampEnd];
    }

    private static void Visit(Weights weights, BytesVisitor page)
    {
        foreach ((_, _, Tensor tensor) in weights.Named())
            tensor.VisitBytes(PageBytes, page);
    }
}
