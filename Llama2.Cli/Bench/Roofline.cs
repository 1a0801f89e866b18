using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Llama2.Simple;

namespace Llama2.Cli.Bench;

/// <summary>The upper bound of decoding: the bytes that a token has to read, and the machine's read bandwidth.</summary>
internal static class Roofline
{
    private const int Runs = 3;
    private static readonly TimeSpan RunTime = TimeSpan.FromMilliseconds(40);

    /// <summary>Adds the bound to a row of decode. The keys and values are those of the positions so far, on average.</summary>
    /// <param name="shortlist">Bytes that a token reads instead of the classifier, or 0.</param>
    public static BenchRow AddTo(BenchRow row, Config config, Weights weights, long shortlist)
    {
        long bytes = weights.Named().Sum(named => named.Tensor switch
        {
            var tensor when tensor == weights.Classifier => shortlist > 0 ? shortlist : tensor.Bytes,
            var tensor when tensor == weights.TokenEmbedding => 0, // one row of it
            var tensor => tensor.Bytes,
        });
        double cache = 2.0 * sizeof(float) * config.KvDim * config.LayerCount * (row.Tokens + 1) / 2;
        return row with { BytesPerToken = bytes + cache, ReadBandwidth = ReadBandwidth(bytes, row.Key.Threads) };
    }

    /// <summary>
    /// The read bandwidth of several threads in GB/s, each with its own part of a buffer; the best of a few short runs. The
    /// buffer is as large as the weights, since caches serve a small model faster than memory would.
    /// </summary>
    public static double ReadBandwidth(long bytes, int threads)
    {
        int floats = (int)Math.Clamp(bytes / sizeof(float) / threads, 1024, 1 << 28) / 64 * 64;
        float[][] parts = [.. Enumerable.Range(0, threads).Select(_ => new float[floats])];
        Array.ForEach(parts, part => Array.Fill(part, 1f)); // pages that were never written may all be the same page of zeros
        return Enumerable.Range(0, Runs).Max(_ =>
        {
            double[] rates = new double[threads];
            Thread[] all = [.. parts.Select((part, i) => new Thread(() => rates[i] = Rate(part)))];
            Array.ForEach(all, thread => thread.Start());
            Array.ForEach(all, thread => thread.Join());
            return rates.Sum();
        });
    }

    private static double Rate(float[] part)
    {
        long start = Stopwatch.GetTimestamp();
        int passes = 0;
        for (; Stopwatch.GetElapsedTime(start) < RunTime; passes++)
            GC.KeepAlive(Sum(part));
        return 1e-9 * sizeof(float) * part.Length * passes / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>The sum of a multiple of 64 floats; four registers hide the latency of addition.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Sum(ReadOnlySpan<float> x)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        ref readonly float start = ref x[0];
        for (nuint i = 0; i < (nuint)x.Length; i += 64)
        {
            a += Vector512.LoadUnsafe(in start, i);
            b += Vector512.LoadUnsafe(in start, i + 16);
            c += Vector512.LoadUnsafe(in start, i + 32);
            d += Vector512.LoadUnsafe(in start, i + 48);
        }
        return Vector512.Sum(a + b + (c + d));
    }
}
