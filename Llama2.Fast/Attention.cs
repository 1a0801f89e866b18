using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// Attention of queries over the keys and values of one cache. Scores are dot products in the canonical order; an element
/// of the result adds value after value in increasing position by fused multiply-add from +0.
/// </summary>
internal static unsafe class Attention<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const int Lanes = ILanes<TLanes>.Count;

    /// <summary>One head's queries of consecutive rows of a cache.</summary>
    /// <param name="q">The first query: (head_size,), the others at <paramref name="stride"/>.</param>
    /// <param name="o">Receives the results as the queries lie.</param>
    /// <param name="stride">Floats between queries, and between results.</param>
    /// <param name="queries">How many.</param>
    /// <param name="position">Position of the first; it sees the keys up to and including its own.</param>
    /// <param name="keys">The head's keys, <paramref name="kvDim"/> apart.</param>
    /// <param name="values">The head's values, <paramref name="kvDim"/> apart.</param>
    /// <param name="kvDim">Floats of a position in the cache.</param>
    /// <param name="headSize">Floats of a query.</param>
    /// <param name="att">Working memory: queries times <see cref="ScoreStride"/>(position + queries) floats.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Attend(float* q, float* o, nint stride, int queries, int position, float* keys, float* values, int kvDim, int headSize, float* att)
    {
        nint attStride = ScoreStride(position + queries);
        float scale = 1 / MathF.Sqrt(headSize);
        // A block of keys at once for all queries; what lies in a query's future is not used.
        MatMul<TLanes>.Multiply(keys, kvDim, position + queries, q, stride, queries, headSize, att, attStride, add: false);
        for (int i = 0; i < queries; i++)
        {
            float* scores = att + i * attStride;
            Nn<TLanes>.Softmax(scores, position + i + 1, scale);
            WeightedSum(scores, position + i + 1, values, kvDim, headSize, o + i * stride);
        }
    }

    /// <summary>Floats between the scores of two queries that see up to so many positions.</summary>
    public static int ScoreStride(int positions) => positions + Lanes - 1 & -Lanes;

    // o[i] = sum of att[t] * values[t * kvDim + i]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WeightedSum(float* att, int n, float* values, int kvDim, int headSize, float* o)
    {
        int i = 0;
        for (; i + 4 * Lanes <= headSize; i += 4 * Lanes)
        {
            TLanes a = TLanes.Create(0), b = a, c = a, d = a;
            float* v = values + i;
            for (int t = 0; t < n; t++, v += kvDim)
            {
                TLanes weight = TLanes.Create(att[t]);
                a = TLanes.FusedMultiplyAdd(weight, TLanes.Load(v), a);
                b = TLanes.FusedMultiplyAdd(weight, TLanes.Load(v + Lanes), b);
                c = TLanes.FusedMultiplyAdd(weight, TLanes.Load(v + 2 * Lanes), c);
                d = TLanes.FusedMultiplyAdd(weight, TLanes.Load(v + 3 * Lanes), d);
            }
            TLanes.Store(o + i, a);
            TLanes.Store(o + i + Lanes, b);
            TLanes.Store(o + i + 2 * Lanes, c);
            TLanes.Store(o + i + 3 * Lanes, d);
        }
        for (; i < headSize; i += Lanes)
        {
            int count = Math.Min(Lanes, headSize - i);
            TLanes sum = TLanes.Create(0);
            float* v = values + i;
            for (int t = 0; t < n; t++, v += kvDim)
                sum = TLanes.FusedMultiplyAdd(TLanes.Create(att[t]), count == Lanes ? TLanes.Load(v) : TLanes.LoadPartial(v, count, 0), sum);
            TLanes.StorePartial(o + i, sum, count);
        }
    }
}
