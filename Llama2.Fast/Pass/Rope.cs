namespace Llama2.Fast.Pass;

/// <summary>Rotary positional encoding, with Simple's bits.</summary>
internal sealed unsafe class Rope
{
    private readonly int _pairs;           // of a head
    private readonly float[] _frequencies; // of the pairs that turn: (rope_dim / 2,)
    private readonly float _magnitude;

    public Rope(Config config, ReadOnlySpan<float> factors)
    {
        (_pairs, _magnitude) = (config.HeadSize / 2, config.RopeScaling?.Magnitude ?? 1);
        _frequencies = new float[config.RopeDim / 2];
        for (int i = 0; i < _frequencies.Length; i++)
        {
            float frequency = 1.0f / Elementary.Pow(config.RopeBase, 2 * i / (float)config.RopeDim);
            _frequencies[i] = Simple.Nn.ScaleFrequency(config, factors, i, frequency);
        }
    }

    /// <summary>Cosines and sines of the pairs' angles at a position: (head_size / 2,) each.</summary>
    public void Angles(int position, float* cos, float* sin)
    {
        for (int i = 0; i < _frequencies.Length; i++)
        {
            Elementary.SinCos(position * _frequencies[i], out sin[i], out cos[i]);
            cos[i] *= _magnitude;
            sin[i] *= _magnitude;
        }
        for (int i = _frequencies.Length; i < _pairs; i++)
            (cos[i], sin[i]) = (1, 0);
    }

    /// <summary>Rotates the pairs of some heads: <paramref name="count"/> floats from <paramref name="first"/> on; even numbers.</summary>
    [MethodImpl(Jit.Optimize)]
    public void Rotate(float* vec, int first, int count, float* cos, float* sin)
    {
        int pairs = _pairs;
        for (int i = first / 2 % pairs, j = first; j < first + count; j += 2, i = i + 1 < pairs ? i + 1 : 0)
        {
            float v0 = vec[j], v1 = vec[j + 1];
            vec[j] = v0 * cos[i] - v1 * sin[i];
            vec[j + 1] = v0 * sin[i] + v1 * cos[i];
        }
    }
}
