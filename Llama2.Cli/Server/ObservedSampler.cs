using System.Collections.Concurrent;
using Llama2.Simple;
using Llama2.Simple.Generation;

namespace Llama2.Cli.Server;

/// <summary>
/// A sampler that remembers of each token that it chose how likely it was, or in place of that the model's logits there. What it
/// remembers belongs to a position, since tokens may be sampled ahead, and in the end other ones in their places: the last one counts.
/// </summary>
/// <param name="sampler">Chooses the tokens.</param>
/// <param name="keepsLogits">Whether to remember logits: (vocab_size,) for each token that has not been taken.</param>
internal sealed class ObservedSampler(ISampler sampler, bool keepsLogits) : ISampler
{
    private readonly ConcurrentDictionary<int, float[]> _logits = []; // by position
    private readonly ConcurrentDictionary<int, float> _probabilities = [];
    private int _position; // of the token that is being sampled

    public float Temperature => sampler.Temperature;
    public float TopP => sampler.TopP;
    public ulong RandomState { get => sampler.RandomState; set => sampler.RandomState = value; }

    /// <summary>The filter to put before all others. It changes nothing, and is called before each <see cref="Sample"/>.</summary>
    public void See(Span<float> logits, ReadOnlySpan<int> tokens)
    {
        _position = tokens.Length;
        if (keepsLogits)
            _logits[_position] = logits.ToArray();
    }

    public int Sample(Span<float> logits)
    {
        int token = sampler.Sample(logits);
        if (!keepsLogits)
            _probabilities[_position] = Temperature == 0 ? 1 : logits[token] / Nucleus(logits); // the sampler made probabilities of them
        return token;
    }

    /// <summary>The logits at a position, before all filters.</summary>
    public float[] TakeLogits(int position) => Take(_logits, position);

    /// <summary>How likely the token at a position was, among those that it was chosen from.</summary>
    public float TakeProbability(int position) => Take(_probabilities, position);

    // Each token of an answer was sampled by this sampler, and is taken once.
    private static T Take<T>(ConcurrentDictionary<int, T> seen, int position) => seen.Remove(position, out T? value) ? value
        : throw new InvalidOperationException($"no token was sampled at position {position}, or it was taken before");

    // The probability of all tokens that top-p leaves: the likeliest ones, until they exceed it.
    private float Nucleus(ReadOnlySpan<float> probabilities)
    {
        if (TopP is not (> 0 and < 1))
            return 1;
        float cutoff = (1 - TopP) / (probabilities.Length - 1); // a token that is less likely cannot be among them
        List<float> likely = [];
        foreach (float probability in probabilities)
        {
            if (probability >= cutoff)
                likely.Add(probability);
        }
        likely.Sort((x, y) => y.CompareTo(x));
        float sum = 0;
        for (int i = 0; i < likely.Count && !(sum > TopP); i++)
            sum += likely[i];
        return sum;
    }
}
