namespace Llama2.Simple;

/// <summary>logits = softmax(logits / temperature).</summary>
public delegate void SoftmaxFunction(Span<float> logits, float temperature);

/// <summary>
/// Takes logits and returns a token: greedy argmax, sampling, or top-p sampling, as run.c does them. The same seed and
/// the same logits give the same tokens.
/// </summary>
public sealed class Sampler
{
    private readonly (float Prob, int Index)[] _candidates, _spare; // for top-p: (vocab_size,)

    /// <summary>A sampler in its initial state.</summary>
    /// <param name="vocabSize">Number of logits.</param>
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
        (Temperature, TopP, RandomState) = (temperature, topp, seed);
        _candidates = new (float, int)[vocabSize];
        _spare = temperature != 0 && topp is > 0 and < 1 ? new (float, int)[vocabSize] : [];
    }

    /// <summary>Divides the logits; 0 is greedy.</summary>
    public float Temperature { get; }

    /// <summary>Probability of the nucleus.</summary>
    public float TopP { get; }

    /// <summary>State of the random numbers, all that a sampler remembers between tokens.</summary>
    public ulong RandomState { get; set; }

    /// <summary>The next token.</summary>
    /// <param name="logits">Logits: (vocab_size,). They are overwritten with probabilities unless the temperature is 0.</param>
    /// <param name="softmax">Makes probabilities of them; <see cref="Softmax"/> if null.</param>
    public int Sample(Span<float> logits, SoftmaxFunction? softmax = null)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(logits.Length, _candidates.Length, nameof(logits));
        if (Temperature == 0)
            return ArgMax(logits);
        (softmax ?? Softmax)(logits, Temperature);
        float coin = NextFloat();
        return TopP is <= 0 or >= 1 ? Multinomial(logits, coin) : Nucleus(logits, coin);
    }

    /// <summary>logits = softmax(logits / temperature).</summary>
    public static void Softmax(Span<float> logits, float temperature)
    {
        for (int i = 0; i < logits.Length; i++)
            logits[i] /= temperature;
        Nn.Softmax(logits);
    }

    /// <summary>Draws as many random numbers as that many calls of <see cref="Sample"/> would.</summary>
    public void Skip(int tokens)
    {
        for (int i = 0; i < tokens && Temperature != 0; i++)
            NextUInt32();
    }

    /// <summary>The index of the highest of some values, the first where several are equal.</summary>
    public static int ArgMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        float max = values[0];
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > max)
            {
                max = values[i];
                best = i;
            }
        }
        return best;
    }

    /// <summary>An index with its own probability; <paramref name="coin"/> is a random number in [0, 1).</summary>
    private static int Multinomial(ReadOnlySpan<float> probabilities, float coin)
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

    /// <summary>Top-p or nucleus sampling: from the smallest set of tokens that exceed probability top-p.</summary>
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
        SortLikeliestFirst(candidates, _spare.AsSpan(0, count));

        float cumulative = 0;
        int last = count - 1; // in case of rounding errors consider all candidates
        for (int i = 0; i < count; i++)
        {
            cumulative += candidates[i].Prob;
            if (cumulative > TopP)
            {
                last = i;
                break;
            }
        }

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

    /// <summary>
    /// Sorts by probability, equal ones by index, as they are. A radix sort, byte by byte from the last: the bits of floats
    /// above 0 rise as they do. Each pass goes from one span to the other, and four end where the first began.
    /// </summary>
    private static void SortLikeliestFirst(Span<(float Prob, int Index)> candidates, Span<(float Prob, int Index)> spare)
    {
        Span<int> starts = stackalloc int[256];
        for (int shift = 0; shift < 32; shift += 8)
        {
            starts.Clear();
            foreach ((float prob, _) in candidates)
                starts[BitConverter.SingleToInt32Bits(prob) >> shift & 255]++;
            int start = 0;
            for (int digit = 255; digit >= 0; digit--)
                (starts[digit], start) = (start, start + starts[digit]);
            foreach ((float Prob, int Index) candidate in candidates)
                spare[starts[BitConverter.SingleToInt32Bits(candidate.Prob) >> shift & 255]++] = candidate;
            Span<(float Prob, int Index)> sorted = spare;
            spare = candidates;
            candidates = sorted;
        }
    }

    /// <summary>xorshift64*: https://en.wikipedia.org/wiki/Xorshift#xorshift* (the shifts are of unsigned numbers).</summary>
    private uint NextUInt32()
    {
        ulong state = RandomState;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        RandomState = state;
        return (uint)((state * 0x2545F4914F6CDD1Dul) >> 32);
    }

    /// <summary>A random float32 in [0, 1).</summary>
    private float NextFloat() => (NextUInt32() >> 8) / 16777216.0f;
}
