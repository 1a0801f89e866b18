using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Llama2.Cli.Bench;

/// <summary>What this machine can do at most, measured: each is the best of a few short runs.</summary>
internal static class Limits
{
    private const int Runs = 3;
    private static readonly TimeSpan RunTime = TimeSpan.FromMilliseconds(40);

    /// <summary>
    /// GB/s at which threads read a buffer over and over, each its own part, from one end to the other or at four places
    /// at once, whichever is faster. The buffer is as large as what is compared with it, since a model that fits into a
    /// cache is not held back by memory.
    /// </summary>
    public static double ReadBandwidth(long bytes, int threads)
    {
        int floats = (int)Math.Clamp(bytes / sizeof(float) / threads, 1024, 1 << 28);
        float[][] parts = new float[threads][];
        int width = Vector512<float>.Count, steps = floats / width / 4;
        return Math.Max(Best(threads, Read(width, 4 * width)), Best(threads, Read(steps * width, width)));

        Func<int, double> Read(int apart, int stride) => thread =>
        {
            parts[thread] ??= Touched(floats);
            Sink = Sum(parts[thread], apart, stride, steps);
            return 4.0 * steps * width * sizeof(float);
        };
    }

    /// <summary>GFLOP/s of fused multiply-adds on registers alone, two operations each, at the best vector width.</summary>
    public static double FmaPeak(int threads)
    {
        double best = Best(threads, _ => Peak<Fma128, Vector128<float>>(default));
        if (Vector256.IsHardwareAccelerated)
            best = Math.Max(best, Best(threads, _ => Peak<Fma256, Vector256<float>>(default)));
        if (Avx512F.IsSupported)
            best = Math.Max(best, Best(threads, _ => Peak<Fma512, Vector512<float>>(default)));
        return best;
    }

    /// <summary>GOP/s of int8 products added to int32, two operations each; NaN where no instruction does that.</summary>
    public static double Int8Peak(int threads)
    {
        double best = double.NaN;
        if (AvxVnni.IsSupported)
            best = Best(threads, _ => Peak<Vnni, Vector256<int>>(default));
        else if (Avx2.IsSupported)
            best = Best(threads, _ => Peak<MultiplyAddAdjacent, Vector256<int>>(default));
        else if (Dp.IsSupported)
            best = Best(threads, _ => Peak<DotProduct, Vector128<int>>(default));
        if (Avx512BW.IsSupported)
            best = Math.Max(best, Best(threads, _ => Peak<MultiplyAddPairs, Vector512<int>>(default)));
        return best;
    }

    // Keeps results alive that nobody wants.
    private static float Sink { get; set; }

    /// <summary>1e9 units of work a second, all threads together, in the best run.</summary>
    private static double Best(int threads, Func<int, double> work)
    {
        double best = 0;
        double[] rates = new double[threads];
        for (int run = 0; run < Runs; run++)
        {
            using Barrier start = new(threads);
            Thread[] all = [.. Enumerable.Range(0, threads).Select(i => new Thread(() => rates[i] = Rate(i)))];
            Array.ForEach(all, thread => thread.Start());
            Array.ForEach(all, thread => thread.Join());
            best = Math.Max(best, rates.Sum() / 1e9);

            double Rate(int thread)
            {
                work(thread);
                start.SignalAndWait();
                double done = 0;
                long from = Stopwatch.GetTimestamp();
                do
                    done += work(thread);
                while (Stopwatch.GetElapsedTime(from) < RunTime);
                return done / Stopwatch.GetElapsedTime(from).TotalSeconds;
            }
        }
        return best;
    }

    private static float[] Touched(int floats)
    {
        float[] buffer = GC.AllocateUninitializedArray<float>(floats);
        Array.Fill(buffer, 1f); // a page that was never written may be the one page of zeros
        return buffer;
    }

    // Four registers at a time, so far apart, a stride from step to step.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Sum(ReadOnlySpan<float> x, int apart, int stride, int steps)
    {
        ref readonly float start = ref x[0];
        Vector512<float> a = default, b = default, c = default, d = default;
        for (int step = 0, i = 0; step < steps; step++, i += stride)
        {
            a += Vector512.LoadUnsafe(in start, (nuint)i);
            b += Vector512.LoadUnsafe(in start, (nuint)(i + apart));
            c += Vector512.LoadUnsafe(in start, (nuint)(i + 2 * apart));
            d += Vector512.LoadUnsafe(in start, (nuint)(i + 3 * apart));
        }
        return Vector512.Sum(a + b + (c + d));
    }

    /// <summary>One multiply-add of a whole register.</summary>
    private interface IMultiplyAdd<TVector>
    {
        /// <summary>sum + x * x, or as near as the instruction set comes to it.</summary>
        static abstract TVector Step(TVector sum, TVector x);

        /// <summary>Operations in a step.</summary>
        static abstract int Operations { get; }

        static abstract bool IsZero(TVector sum);
    }

    /// <summary>Enough independent sums to hide the latency of a step; they fit into 16 registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Peak<T, TVector>(TVector x) where T : IMultiplyAdd<TVector> where TVector : struct
    {
        const int Steps = 20_000, Sums = 12;
        TVector a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int step = 0; step < Steps; step++)
        {
            a = T.Step(a, x);
            b = T.Step(b, x);
            c = T.Step(c, x);
            d = T.Step(d, x);
            e = T.Step(e, x);
            f = T.Step(f, x);
            g = T.Step(g, x);
            h = T.Step(h, x);
            i = T.Step(i, x);
            j = T.Step(j, x);
            k = T.Step(k, x);
            l = T.Step(l, x);
        }
        bool zero = T.IsZero(a) & T.IsZero(b) & T.IsZero(c) & T.IsZero(d) & T.IsZero(e) & T.IsZero(f)
            & T.IsZero(g) & T.IsZero(h) & T.IsZero(i) & T.IsZero(j) & T.IsZero(k) & T.IsZero(l);
        return zero ? (double)Steps * Sums * T.Operations : throw new InvalidOperationException("0 * 0 is not 0");
    }

    private readonly struct Fma128 : IMultiplyAdd<Vector128<float>>
    {
        public static Vector128<float> Step(Vector128<float> sum, Vector128<float> x) => Vector128.FusedMultiplyAdd(x, x, sum);
        public static int Operations => 2 * Vector128<float>.Count;
        public static bool IsZero(Vector128<float> sum) => sum == default;
    }

    private readonly struct Fma256 : IMultiplyAdd<Vector256<float>>
    {
        public static Vector256<float> Step(Vector256<float> sum, Vector256<float> x) => Vector256.FusedMultiplyAdd(x, x, sum);
        public static int Operations => 2 * Vector256<float>.Count;
        public static bool IsZero(Vector256<float> sum) => sum == default;
    }

    private readonly struct Fma512 : IMultiplyAdd<Vector512<float>>
    {
        public static Vector512<float> Step(Vector512<float> sum, Vector512<float> x) => Avx512F.FusedMultiplyAdd(x, x, sum);
        public static int Operations => 2 * Vector512<float>.Count;
        public static bool IsZero(Vector512<float> sum) => sum == default;
    }

    private readonly struct Vnni : IMultiplyAdd<Vector256<int>>
    {
        public static Vector256<int> Step(Vector256<int> sum, Vector256<int> x) => AvxVnni.MultiplyWideningAndAdd(sum, x.AsByte(), x.AsSByte());
        public static int Operations => 2 * Vector256<sbyte>.Count;
        public static bool IsZero(Vector256<int> sum) => sum == default;
    }

    private readonly struct MultiplyAddAdjacent : IMultiplyAdd<Vector256<int>>
    {
        public static Vector256<int> Step(Vector256<int> sum, Vector256<int> x) =>
            sum + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(x.AsByte(), sum.AsSByte()), Vector256<short>.One);
        public static int Operations => 2 * Vector256<sbyte>.Count;
        public static bool IsZero(Vector256<int> sum) => sum == default;
    }

    private readonly struct MultiplyAddPairs : IMultiplyAdd<Vector512<int>>
    {
        public static Vector512<int> Step(Vector512<int> sum, Vector512<int> x) => sum + Avx512BW.MultiplyAddAdjacent(x.AsInt16(), sum.AsInt16());
        public static int Operations => 2 * Vector512<short>.Count;
        public static bool IsZero(Vector512<int> sum) => sum == default;
    }

    private readonly struct DotProduct : IMultiplyAdd<Vector128<int>>
    {
        public static Vector128<int> Step(Vector128<int> sum, Vector128<int> x) => Dp.DotProduct(sum, x.AsSByte(), x.AsSByte());
        public static int Operations => 2 * Vector128<sbyte>.Count;
        public static bool IsZero(Vector128<int> sum) => sum == default;
    }
}
