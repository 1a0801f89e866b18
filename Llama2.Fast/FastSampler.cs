namespace Llama2.Fast;

/// <summary>The same sampler as Simple's, bit for bit, with the exponentials of a kernel and a radix sort for top-p.</summary>
public sealed unsafe class FastSampler : ISampler
{
    private readonly Kernel _kernel = Kernel.Find(null);
    private readonly int _vocabSize;
    private ulong _randomState;

    /// <summary>A sampler in its initial state.</summary>
    /// <param name="vocabSize">Number of logits.</param>
    /// <param name="temperature">0 is greedy, 1 the model's own distribution; not negative.</param>
    /// <param name="topp">Samples from the smallest set of tokens whose probability exceeds this; 0 or 1 turn that off.</param>
    /// <param name="seed">Seed of the random numbers; not 0, from which xorshift never gets away.</param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter outside its range.</exception>
    /// <exception cref="KernelException">The environment asks for a kernel that the machine does not have.</exception>
    public FastSampler(int vocabSize, float temperature, float topp, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabSize, 1);
        ArgumentOutOfRangeException.ThrowIfZero(seed);
        if (!(temperature >= 0))
            throw new ArgumentOutOfRangeException(nameof(temperature), temperature, "temperature is 0 or more");
        if (!(topp is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(topp), topp, "top-p is between 0 and 1");
        (_vocabSize, Temperature, TopP, _randomState) = (vocabSize, temperature, topp, seed);
    }

    public float Temperature { get; }
    public float TopP { get; }
    public ulong RandomState { get => _randomState; set => _randomState = value; }

    private bool IsNucleus => Temperature != 0 && TopP is > 0 and < 1;

    public int Sample(Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(logits.Length, _vocabSize, nameof(logits));
        if (Temperature == 0)
            return Sampler.ArgMax(logits);
        float[] probabilities = ArrayPool<float>.Shared.Rent(Lanes.RoundUp(_vocabSize)); // shared by the samplers of a server's requests
        logits.CopyTo(probabilities);
        fixed (float* p = probabilities)
            _kernel.Softmax(p, _vocabSize, MathF.Min(Temperature, float.MaxValue)); // else a logit of negative infinity becomes NaN
        float coin = Sampler.RandomFloat(ref _randomState);
        int? likeliest = float.IsNaN(probabilities[0]) ? Sampler.ArgMax(logits) : null; // the limit of small temperatures
        probabilities.AsSpan(0, _vocabSize).CopyTo(logits);
        ArrayPool<float>.Shared.Return(probabilities);
        if (likeliest is not null)
            return likeliest.Value;
        return IsNucleus ? Nucleus(logits, coin) : Sampler.Multinomial(logits, coin);
    }

    private int Nucleus(ReadOnlySpan<float> probabilities, float coin)
    {
        (float Prob, int Index)[] candidates = ArrayPool<(float, int)>.Shared.Rent(_vocabSize);
        (float Prob, int Index)[] spare = ArrayPool<(float, int)>.Shared.Rent(_vocabSize);
        int token = Nucleus(probabilities, coin, candidates, spare);
        ArrayPool<(float, int)>.Shared.Return(candidates);
        ArrayPool<(float, int)>.Shared.Return(spare);
        return token;
    }

    // Top-p sampling, from the smallest set of tokens whose probability exceeds top-p.
    private int Nucleus(
        ReadOnlySpan<float> probabilities, float coin, Span<(float Prob, int Index)> candidates, Span<(float Prob, int Index)> spare)
    {
        // values smaller than (1 - topp) / (n - 1) cannot be part of the result, so they need no sorting
        float cutoff = (1.0f - TopP) / (probabilities.Length - 1);
        int count = 0;
        for (int i = 0; i < probabilities.Length; i++)
        {
            if (probabilities[i] >= cutoff)
                candidates[count++] = (probabilities[i], i);
        }
        if (count == 0)
            return Sampler.ArgMax(probabilities); // all are NaN

        candidates = candidates[..count];
        SortLikeliestFirst(candidates, spare[..count]);
        float cumulative = 0;
        int last = -1;
        while (last < count - 1 && !(cumulative > TopP)) // where rounding leaves the sum below top-p, all are taken
            cumulative += candidates[++last].Prob;

        float r = coin * cumulative, cdf = 0;
        for (int i = 0; i < last; i++)
        {
            cdf += candidates[i].Prob;
            if (r < cdf)
                return candidates[i].Index;
        }
        return candidates[last].Index;
    }

    /// <summary>
    /// Sorts by probability, equal ones by index, as they are. A radix sort, byte by byte from the last: the bits of floats above 0 rise as
    /// they do. Each of the four passes goes from one span to the other, so that the last ends where the first began. Where nearly all of
    /// 32,000 tokens are candidates, comparing them takes 5 ms, more than a token of stories15M.
    /// </summary>
    private static void SortLikeliestFirst(Span<(float Prob, int Index)> candidates, Span<(float Prob, int Index)> spare)
    {
        Span<int> starts = stackalloc int[byte.MaxValue + 1];
        for (int shift = 0; shift < 32; shift += 8)
        {
            starts.Clear();
            foreach ((float prob, _) in candidates)
                starts[Digit(prob, shift)]++;
            int start = 0;
            for (int digit = byte.MaxValue; digit >= 0; digit--)
                (starts[digit], start) = (start, start + starts[digit]);
            foreach ((float Prob, int Index) candidate in candidates)
                spare[starts[Digit(candidate.Prob, shift)]++] = candidate;
            Span<(float Prob, int Index)> sorted = spare;
            spare = candidates;
            candidates = sorted;
        }

        static int Digit(float prob, int shift) => BitConverter.SingleToInt32Bits(prob) >> shift & byte.MaxValue;
    }
}
