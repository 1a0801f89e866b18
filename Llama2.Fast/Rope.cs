using System.Runtime.CompilerServices;

namespace Llama2.Fast;

/// <summary>
/// Rotary positional encoding. The angles come from a routine of our own, made of + - * / in double precision and so the
/// same everywhere, where the C libraries' differ in the last bit; rounded to float they are those of Simple but for ties.
/// </summary>
internal sealed unsafe class Rope
{
    private readonly float[] _frequencies; // (head_size / 2,)

    public Rope(int headSize)
    {
        _frequencies = new float[headSize / 2];
        for (int i = 0; i < _frequencies.Length; i++)
            _frequencies[i] = 1.0f / (float)Exp(2 * i / (float)headSize * Ln10000);
    }

    private const double Ln10000 = 9.210340371976182736;
    private const double Ln2 = 0.693147180559945309;

    /// <summary>Cosines and sines of pair i's angle at a position, position / 10000^(2i / head_size) radians: (head_size / 2,) each.</summary>
    public void Angles(int position, float* cos, float* sin)
    {
        for (int i = 0; i < _frequencies.Length; i++)
            SinCos(position * _frequencies[i], out sin[i], out cos[i]);
    }

    /// <summary>Turns the pairs (2i, 2i + 1) of <paramref name="heads"/> heads that lie one after another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Rotate(float* vec, int heads, float* cos, float* sin)
    {
        for (int h = 0; h < heads; h++, vec += 2 * _frequencies.Length)
        {
            for (int i = 0; i < _frequencies.Length; i++)
            {
                float v0 = vec[2 * i], v1 = vec[2 * i + 1];
                vec[2 * i] = v0 * cos[i] - v1 * sin[i];
                vec[2 * i + 1] = v0 * sin[i] + v1 * cos[i];
            }
        }
    }

    /// <summary>e^x for x from 0 to 10, to about 1e-15.</summary>
    internal static double Exp(double x)
    {
        int k = (int)(x / Ln2);
        double r = x - k * Ln2, sum = 1;
        for (int i = 20; i > 0; i--)
            sum = 1 + r / i * sum; // Taylor's series, innermost term first
        return sum * (1 << k);
    }

    /// <summary>Sine and cosine of an angle from 0 to 2^24.</summary>
    internal static void SinCos(double x, out float sin, out float cos)
    {
        // pi / 2 in three parts; a whole number of up to 24 bits times one of the first two is exact
        const double part1 = 1.570796325802803, part2 = 9.920935739593517e-10, part3 = 5.721188726109832e-18;
        double quarter = Math.Floor(x / part1 + 0.5);
        double r = x - quarter * part1 - quarter * part2 - quarter * part3, square = r * r;
        double s = 1, c = 1;
        for (int i = 18; i > 0; i -= 2)
        {
            s = 1 - square / (i * (i + 1)) * s;
            c = 1 - square / (i * (i - 1)) * c;
        }
        s *= r;
        (sin, cos) = ((long)quarter & 3) switch
        {
            0 => ((float)s, (float)c),
            1 => ((float)c, (float)-s),
            2 => ((float)-s, (float)-c),
            _ => ((float)-c, (float)s),
        };
    }
}
