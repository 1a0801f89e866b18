namespace Llama2.Simple;

/// <summary>Greedy argmax, sampling, or top-p sampling: run.c's sampler.</summary>
public sealed class Sampler : ISampler
{
    private readonly (float Prob, int Index)[] _candidates; // for top-p: (vocab_size,)
    private ulong _randomState;

    /// <summary>A sampler in its initial state.</summary>
    /// <param name="temperature">0 is greedy, 1 the model's own distribution; not negative.</param>
    /// <param name="topp">Samples from the smallest set of tokens whose probability exceeds this; 0 or 1 turn that off.</param>
    /// <param name="seed">Seed of the random numbers; not 0, from which xorshift never gets away.</param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter outside its range.</exception>
    public Sampler(int vocabSize, float temperature, float topp, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabSize, 1);
        ArgumentOutOfRangeException.ThrowIfZero(seed);
        if (!(temperature >= 0))
            throw new ArgumentOutOfRangeException(nameof(temperature), temperature, "temperature is 0 or more");
        if (!(topp is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(topp), topp, "top-p is between 0 and 1");
        (Temperature, TopP, _randomState) = (temperature, topp, seed);
        _candidates = new (float, int)[vocabSize];
    }

    public float Temperature { get; }
    public float TopP { get; }
    public ulong RandomState { get => _randomState; set => _randomState = value; }

    public int Sample(Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(logits.Length, _candidates.Length, nameof(logits));
        if (Temperature == 0)
            return ArgMax(logits); // greedy argmax sampling: take the token with the highest probability
        int likeliest = ArgMax(logits);
        Softmax(logits, MathF.Min(Temperature, float.MaxValue)); // else a logit of negative infinity becomes NaN
        float coin = RandomFloat(ref _randomState);
        if (float.IsNaN(logits[0]))
            return likeliest; // logits beyond float32: the limit of small temperatures
        return TopP is <= 0 or >= 1 ? Multinomial(logits, coin) : Nucleus(logits, coin);
    }

    /// <summary>The index of the highest of some values, the first where several are equal.</summary>
    public static int ArgMax(ReadOnlySpan<float> values)
    {
        int maxIndex = 0;
        float max = values[0];
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > max)
            {
                maxIndex = i;
                max = values[i];
            }
        }
        return maxIndex;
    }

    public static void Softmax(Span<float> logits, float temperature)
    {
        for (int i = 0; i < logits.Length; i++)
            logits[i] /= temperature;
        Nn.Softmax(logits);
    }

    /// <summary>An index with its own probability (they must sum to 1!); <paramref name="coin"/> is a random number in [0, 1).</summary>
    public static int Multinomial(ReadOnlySpan<float> probabilities, float coin)
    {
        float cdf = 0;
        for (int i = 0; i < probabilities.Length; i++)
        {
            cdf += probabilities[i];
            if (coin < cdf)
                return i;
        }
        return probabilities.Length - 1; // in case of rounding errors
    }

    /// <summary>
    /// Top-p sampling (or "nucleus sampling") samples from the smallest set of tokens that exceed probability top-p. This way we never
    /// sample tokens that have very low probabilities and are less likely to go "off the rails".
    /// </summary>
    private int Nucleus(ReadOnlySpan<float> probabilities, float coin)
    {
        // values smaller than (1 - topp) / (n - 1) cannot be part of the result, so they need no sorting
        float cutoff = (1.0f - TopP) / (probabilities.Length - 1);
        int count = 0;
        for (int i = 0; i < probabilities.Length; i++)
        {
            if (probabilities[i] >= cutoff)
                _candidates[count++] = (probabilities[i], i);
        }
        if (count == 0)
            return ArgMax(probabilities); // only NaN: run.c reads before its array here
        Span<(float Prob, int Index)> candidates = _candidates.AsSpan(0, count);
        candidates.Sort((a, b) => a.Prob != b.Prob ? b.Prob.CompareTo(a.Prob) : a.Index.CompareTo(b.Index)); // stable, as glibc's qsort

        // truncate the list where cumulative probability exceeds topp
        float cumulative = 0;
        int last = count - 1; // in case of rounding errors consider all elements
        for (int i = 0; i < count; i++)
        {
            cumulative += candidates[i].Prob;
            if (cumulative > TopP)
            {
                last = i;
                break; // we've exceeded topp by including last
            }
        }

        // sample from the truncated list
        float r = coin * cumulative;
        float cdf = 0;
        for (int i = 0; i <= last; i++)
        {
            cdf += candidates[i].Prob;
            if (r < cdf)
                return candidates[i].Index;
        }
        return candidates[last].Index; // in case of rounding errors
    }

    /// <summary>xorshift rng: https://en.wikipedia.org/wiki/Xorshift#xorshift*</summary>
    private static uint RandomUInt32(ref ulong state)
    {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (uint)((state * 0x2545F4914F6CDD1Dul) >> 32);
    }

    /// <summary>A random float32 in [0, 1).</summary>
    public static float RandomFloat(ref ulong state) => (RandomUInt32(ref state) >> 8) / 16777216.0f;
}
