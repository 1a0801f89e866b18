namespace Llama2.Simple;

/// <summary>
/// Slower RoPE, so that a context longer than the one trained with spans the same angles: linear scaling divides every frequency by
/// <paramref name="Factor"/>. YaRN (arXiv 2309.00071) leaves the fast pairs as they are, with a ramp between, and stretches queries and
/// keys.
/// </summary>
/// <param name="Factor">By which frequencies are divided.</param>
public sealed record RopeScaling(float Factor)
{
    public float Magnitude { get; init; } = 1; // of rotated queries and keys
    public bool HasRamp { get; init; }         // YaRN
    public float RampStart { get; init; }      // the last pair that keeps its frequency
    public float RampEnd { get; init; }        // the first pair that is slowed by the factor

    /// <summary>YaRN with the constants of its paper.</summary>
    /// <param name="ropeDim">Floats of a head that RoPE turns.</param>
    /// <param name="ropeBase">The base of the frequencies.</param>
    /// <param name="factor">By which the slow pairs' frequencies are divided.</param>
    /// <param name="context">Tokens of context that the model was trained with.</param>
    /// <param name="betaFast">Turns within that context: a pair of more keeps its frequency.</param>
    /// <param name="betaSlow">A pair of fewer turns is slowed by the whole factor.</param>
    public static RopeScaling Yarn(int ropeDim, float ropeBase, float factor, int context, float betaFast = 32, float betaSlow = 1)
    {
        return new(factor)
        {
            HasRamp = true,
            RampStart = (float)Math.Max(0, Math.Floor(PairOf(betaFast))),
            RampEnd = (float)Math.Min(ropeDim - 1, Math.Ceiling(PairOf(betaSlow))),
            Magnitude = (float)(1 + 0.1 * Math.Log(factor)),
        };

        // the pair that makes so many turns within the context
        double PairOf(float turns) => ropeDim * Math.Log(context / (turns * 2 * Math.PI)) / (2 * Math.Log(ropeBase));
    }

    /// <summary>A pair's frequency after scaling.</summary>
    /// <param name="pair">Its index.</param>
    /// <param name="frequency">Radians a position before scaling.</param>
    public float Apply(int pair, float frequency)
    {
        float slow = frequency * (1 / Factor);
        if (!HasRamp)
            return slow;
        float ramp = (pair - RampStart) / MathF.Max(0.001f, RampEnd - RampStart);
        float keep = 1 - MathF.Min(1, MathF.Max(0, ramp));
        return slow * (1 - keep) + frequency * keep;
    }
}
