namespace Llama2.Fast.Pass;

/// <summary>Rotary positional encoding, with Simple's bits.</summary>
internal sealed unsafe class Rope
{
    public const double Log2OfBase = 13.287712379549449; // of Config.RopeBase; written out, since log2 differs between C libraries

    private readonly float[] _frequencies; // (head_size / 2,)

    public Rope(int headSize)
    {
        _frequencies = new float[headSize / 2];
        for (int i = 0; i < _frequencies.Length; i++)
            _frequencies[i] = 1.0f / Elementary.Exp2(2 * i / (float)headSize * Log2OfBase);
    }

    /// <summary>Cosines and sines of the pairs' angles, position / 10000^(2i / head_size) radians: (head_size / 2,) each.</summary>
    public void Angles(int position, float* cos, float* sin)
    {
        for (int i = 0; i < _frequencies.Length; i++)
            Elementary.SinCos(position * _frequencies[i], out sin[i], out cos[i]);
    }

    /// <summary>Rotates the pairs of some heads: <paramref name="count"/> floats from <paramref name="first"/> on; even numbers.</summary>
    [MethodImpl(Jit.Optimize)]
    public void Rotate(float* vec, int first, int count, float* cos, float* sin)
    {
        int pairs = _frequencies.Length;
        for (int i = first / 2 % pairs, j = first; j < first + count; j += 2, i = i + 1 < pairs ? i + 1 : 0)
        {
            float v0 = vec[j], v1 = vec[j + 1];
            vec[j] = v0 * cos[i] - v1 * sin[i];
            vec[j + 1] = v0 * sin[i] + v1 * cos[i];
        }
    }
}
