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
        int vectors = (int)Math.Clamp(bytes / Vector512<byte>.Count / threads, 64, 1 << 24);
        Vector512<int>[][] parts = [.. Enumerable.Range(0, threads).Select(_ => new Vector512<int>[vectors])];
        Array.ForEach(parts, part => Array.Fill(part, Vector512<int>.One)); // pages never written may all be the same page of zeros
        return Enumerable.Range(0, Runs).Max(_ =>
        {
            double[] rates = new double[threads];
            Thread[] all = [.. parts.Select((part, i) => new Thread(() => rates[i] = Rate(part)))];
            Array.ForEach(all, thread => thread.Start());
            Array.ForEach(all, thread => thread.Join());
            return rates.Sum();
        });
    }

    private static double Rate(Vector512<int>[] part)
    {
        long start = Stopwatch.GetTimestamp();
        int passes = 0;
        for (; Stopwatch.GetElapsedTime(start) < RunTime; passes++)
            GC.KeepAlive(Sum(part));
        return 1e-9 * Vector512<byte>.Count * part.Length * passes / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Sum(Vector512<int>[] part)
    {
        Vector512<int> sum = default;
        foreach (Vector512<int> vector in part) // one register will do: adding integers takes one cycle, as loading them from L2 does
            sum += vector;
        return Vector512.Sum(sum);
    }
}
