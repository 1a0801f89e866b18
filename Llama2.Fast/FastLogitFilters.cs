using System.Numerics;
using System.Runtime.InteropServices;
using Llama2.Simple.Generation;

namespace Llama2.Fast;

/// <summary>
/// The filters of <see cref="LogitFilters"/> that look at all logits, with the same results: a sampled token takes no longer with them
/// than without.
/// </summary>
public static class FastLogitFilters
{
    private const int MinCandidates = 256;
    private const uint Sign = 1u << 31;

    /// <inheritdoc cref="LogitFilters.TopK"/>
    public static LogitFilter TopK(int k)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(k, 1);
        float[] kept = [];
        uint[] keys = [];
        return (logits, _) =>
        {
            if (k >= logits.Length)
                return;
            if (kept.Length == 0)
            {
                kept = new float[2 * Math.Max(k, MinCandidates)];
                keys = new uint[kept.Length];
            }
            KeepHighest(logits, k, kept, keys);
        };
    }

    /// <inheritdoc cref="LogitFilters.MinP"/>
    public static LogitFilter MinP(float p)
    {
        if (!(p is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(p), p, "min-p is between 0 and 1");
        return (logits, _) =>
        {
            float lowest = Highest(logits) + MathF.Log(p);
            Span<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(logits);
            foreach (ref Vector<float> vector in vectors)
            {
                Vector<int> isLower = Vector.LessThan(vector, new Vector<float>(lowest));
                vector = Vector.ConditionalSelect(isLower, new Vector<float>(float.NegativeInfinity), vector);
            }
            foreach (ref float logit in logits[(vectors.Length * Vector<float>.Count)..])
            {
                if (logit < lowest)
                    logit = float.NegativeInfinity;
            }
        };
    }

    /// <summary>Rules out all but the k highest.</summary>
    /// <param name="kept">Room for candidates: those above the lowest that is known to be ruled out.</param>
    /// <param name="keys">As much, for <see cref="Select"/>.</param>
    [MethodImpl(Jit.Optimize)]
    private static void KeepHighest(Span<float> logits, int k, float[] kept, uint[] keys)
    {
        ReadOnlySpan<float> candidates = logits;
        if (logits.Length > kept.Length)
        {
            int count = 0;
            float ruledOut = float.NaN;
            foreach (float logit in logits)
            {
                if (logit <= ruledOut)
                    continue;
                if (count == kept.Length)
                {
                    (ruledOut, int equal) = Select(kept, keys, k);
                    count = 0;
                    foreach (float candidate in kept)
                    {
                        if (candidate > ruledOut || (candidate == ruledOut && equal-- > 0))
                            kept[count++] = candidate;
                    }
                }
                kept[count++] = logit;
            }
            candidates = kept.AsSpan(0, count);
        }
        (float lowest, int ties) = Select(candidates, keys, k);
        if (logits.Count(lowest) == ties)
        {
            KeepAtLeast(logits, lowest);
            return;
        }
        foreach (ref float logit in logits)
        {
            if (!(logit > lowest || (logit == lowest && ties-- > 0)))
                logit = float.NegativeInfinity;
        }
    }

    /// <summary>
    /// The k-th highest value, and how many equal to it are among the k highest: a radix select, which finds one digit at a time, from the
    /// first, among the values that have the digits before it.
    /// </summary>
    [MethodImpl(Jit.Optimize)]
    private static (float Value, int Ties) Select(ReadOnlySpan<float> values, Span<uint> keys, int k)
    {
        const int Bits = 8, Digits = 1 << Bits;
        keys = keys[..values.Length];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = Key(values[i]);
        Span<int> counts = stackalloc int[Digits]; // of keys by digit
        for (int shift = 32 - Bits; shift >= 0 && keys.Length > 1; shift -= Bits)
        {
            counts.Clear();
            foreach (uint key in keys)
                counts[(int)(key >> shift & (Digits - 1))]++;
            int digit = Digits - 1;
            for (; digit > 0 && k > counts[digit]; digit--) // NaN may be missing below
                k -= counts[digit];
            int count = 0;
            foreach (uint key in keys)
            {
                keys[count] = key; // to be overwritten by the next one if its digit is another
                count += (key >> shift & (Digits - 1)) == digit ? 1 : 0;
            }
            keys = keys[..count];
        }
        if (keys.IsEmpty)
            return (float.NaN, k);
        return (BitConverter.UInt32BitsToSingle(keys[0] >= Sign ? keys[0] ^ Sign : ~keys[0]), k);
    }

    /// <summary>A number that rises as the value does: NaN is lowest, and both zeros are the same.</summary>
    private static uint Key(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value + 0f), key = bits ^ ((uint)((int)bits >> 31) | Sign);
        return float.IsNaN(value) ? 0 : key;
    }

    /// <summary>Rules out what is lower than a value, and NaN.</summary>
    private static void KeepAtLeast(Span<float> logits, float lowest)
    {
        Span<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(logits);
        foreach (ref Vector<float> vector in vectors)
        {
            Vector<int> stays = Vector.GreaterThanOrEqual(vector, new Vector<float>(lowest));
            vector = Vector.ConditionalSelect(stays, vector, new Vector<float>(float.NegativeInfinity));
        }
        foreach (ref float logit in logits[(vectors.Length * Vector<float>.Count)..])
            logit = logit >= lowest ? logit : float.NegativeInfinity;
    }

    /// <summary>The value that <see cref="Sampler.ArgMax"/> finds: NaN if the first is, and else the highest number.</summary>
    private static float Highest(ReadOnlySpan<float> values)
    {
        ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        Vector<float> highest = new(values[0]);
        foreach (Vector<float> vector in vectors)
            highest = Vector.ConditionalSelect(Vector.GreaterThan(vector, highest), vector, highest); // false for NaN
        Span<float> lanes = stackalloc float[Vector<float>.Count];
        highest.CopyTo(lanes);
        float max = lanes[Sampler.ArgMax(lanes)];
        foreach (float value in values[(vectors.Length * Vector<float>.Count)..])
            max = value > max ? value : max;
        return max;
    }
}
