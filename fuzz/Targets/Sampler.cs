namespace Llama2.Fuzz.Targets;

/// <summary>
/// For any logits and settings the twins give the same token and state. It is in range; at temperature 0 it is the argmax,
/// else the one that run.c's description gives, worked out another way.
/// </summary>
internal static class Sampler
{
    private const int Draws = 4;

    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        int vocabSize = input.Between(1, 100);
        float temperature = Setting(input), topp = Setting(input);
        ulong seed = input.Value<ulong>();
        float[] logits = new float[vocabSize];
        input.Fill(logits);

        Simple.Sampler sampler;
        try
        {
            sampler = new(vocabSize, temperature, topp, seed);
        }
        catch (ArgumentOutOfRangeException) when (!(temperature >= 0) || !(topp is >= 0 and <= 1) || seed == 0)
        {
            return;
        }
        FastSampler twin = new(vocabSize, temperature, topp, seed);
        ulong state = seed;
        for (int draw = 0; draw < Draws; draw++)
        {
            float[] probabilities = [.. logits];
            int token = sampler.Sample(probabilities);
            if (twin.Sample([.. logits]) is var fast && (token != fast || sampler.RandomState != twin.RandomState))
                throw new BrokenPromiseException($"simple gives token {token}, fast {fast}, or another state");
            if ((uint)token >= (uint)vocabSize)
                throw new BrokenPromiseException($"token {token} of {vocabSize}");
            if (temperature == 0)
            {
                if (logits.Any(x => x > logits[token]) || logits.Take(token).Any(x => x >= logits[token]))
                    throw new BrokenPromiseException($"token {token} is not the first of the best");
                continue;
            }
            float coin = Coin(ref state);
            if (probabilities.Any(float.IsNaN))
                continue; // only the range is promised
            int expected = topp is 0 or 1 ? First(probabilities, coin) : Nucleus(probabilities, topp, coin);
            if (token != expected)
                throw new BrokenPromiseException($"token {token} instead of {expected}");
        }
    }

    // mostly values that users set
    private static float Setting(FuzzInput input) => input.Byte() is var b && b < 250 ? b / 200f : input.Value<float>();

    private static float Coin(ref ulong state)
    {
        state ^= state >>> 12;
        state ^= state << 25;
        state ^= state >>> 27;
        return (float)((state * 2685821657736338717 >>> 40) / 16777216.0);
    }

    private static int First(float[] probabilities, float coin)
    {
        float sum = 0;
        int token = Array.FindIndex(probabilities, p => coin < (sum += p));
        return token < 0 ? probabilities.Length - 1 : token;
    }

    private static int Nucleus(float[] probabilities, float topp, float coin)
    {
        float cutoff = (1 - topp) / (probabilities.Length - 1);
        IEnumerable<(float P, int Token)> sorted = probabilities.Select((p, token) => (p, token))
            .Where(x => x.p >= cutoff).OrderByDescending(x => x.p); // stable
        List<(float P, int Token)> nucleus = [];
        float sum = 0;
        foreach ((float P, int Token) candidate in sorted)
        {
            nucleus.Add(candidate);
            if ((sum += candidate.P) > topp)
                break;
        }
        int index = First([.. nucleus.Select(x => x.P)], coin * sum);
        return nucleus.Count == 0 ? Simple.Sampler.ArgMax(probabilities) : nucleus[index].Token;
    }
}
