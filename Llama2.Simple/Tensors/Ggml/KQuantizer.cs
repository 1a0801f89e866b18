using System.Buffers.Binary;

namespace Llama2.Simple.Tensors;

/// <summary>
/// Floats to ggml's blocks of 256, with the bytes of its reference. Each part gets the scale, and in q4_K the minimum, with which the
/// integers lose least; the parts' scales are then rounded to a few bits, and the integers chosen again for what they became. The order
/// of float32 operations is the reference's, as a sum in another order can change a byte.
/// </summary>
internal static class KQuantizer
{
    private const int BlockElements = Block.MaxElements;
    private const float Negligible = 1e-15f; // magnitudes below it count as zero

    /// <summary>x is about scale * q - min, q from 0 to 15; eight scales and eight minima from 0 to 63.</summary>
    public static void ToQ4K(ReadOnlySpan<float> x, Span<byte> bytes)
    {
        const int Part = 32, Parts = BlockElements / Part, MaxScale = 63;
        Span<byte> q = stackalloc byte[BlockElements];
        Span<float> scales = stackalloc float[Parts], minima = stackalloc float[Parts];
        float maxScale = 0, maxMin = 0;
        for (int part = 0; part < Parts; part++)
        {
            (scales[part], minima[part]) = FitWithMinimum(x.Slice(part * Part, Part), q.Slice(part * Part, Part));
            maxScale = MathF.Max(maxScale, scales[part]);
            maxMin = MathF.Max(maxMin, minima[part]);
        }

        BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)(maxScale / MaxScale));
        BinaryPrimitives.WriteHalfLittleEndian(bytes[2..], (Half)(maxMin / MaxScale));
        float scale = (float)(Half)(maxScale / MaxScale), min = (float)(Half)(maxMin / MaxScale);
        float toScale = maxScale > 0 ? MaxScale / maxScale : 0, toMin = maxMin > 0 ? MaxScale / maxMin : 0;
        Span<byte> packed = bytes.Slice(4, 12), values = bytes[16..];
        packed.Clear();
        for (int part = 0; part < Parts; part++)
        {
            int s = Math.Min(MaxScale, Nearest(toScale * scales[part])), m = Math.Min(MaxScale, Nearest(toMin * minima[part]));
            Pack(packed, part, s, m);
            if (scale * s == 0)
                continue; // the integers make no difference: those of the search stay
            for (int j = part * Part; j < (part + 1) * Part; j++)
                q[j] = (byte)Math.Clamp(Nearest((x[j] + min * m) / (scale * s)), 0, 15);
        }
        for (int j = 0; j < BlockElements / 2; j++)
        {
            int low = j / Part * 2 * Part + j % Part; // a byte holds elements 32 apart
            values[j] = (byte)(q[low] | q[low + Part] << 4);
        }
    }

    /// <summary>x is about scale * q, q from -32 to 31; sixteen scales from -128 to 127.</summary>
    public static void ToQ6K(ReadOnlySpan<float> x, Span<byte> bytes)
    {
        const int Part = Block.PartElements, Parts = BlockElements / Part, Bias = 32;
        Span<byte> q = stackalloc byte[BlockElements];
        Span<float> scales = stackalloc float[Parts];
        for (int part = 0; part < Parts; part++)
            scales[part] = Fit(x.Slice(part * Part, Part), q.Slice(part * Part, Part));
        float largest = BlockQuantizer.Largest(scales);
        bytes[..210].Clear();
        if (MathF.Abs(largest) < Negligible)
            return;

        float toScale = -128 / largest;
        Half rounded = (Half)(1 / toScale);
        BinaryPrimitives.WriteHalfLittleEndian(bytes[208..], rounded);
        for (int part = 0; part < Parts; part++)
        {
            int s = Math.Min(127, Nearest(toScale * scales[part]));
            bytes[192 + part] = (byte)(sbyte)s;
            float scale = (float)rounded * s;
            for (int j = part * Part; j < (part + 1) * Part && scale != 0; j++)
                q[j] = (byte)(Math.Clamp(Nearest(x[j] / scale), -Bias, Bias - 1) + Bias);
        }
        for (int j = 0; j < BlockElements; j++)
        {
            bytes[j / 128 * 64 + j % 64] |= (byte)((q[j] & 15) << j / 64 % 2 * 4);
            bytes[128 + j / 128 * 32 + j % 32] |= (byte)(q[j] >> 4 << j / 32 % 4 * 2);
        }
    }

    /// <summary>
    /// The scale and the minimum, at least 0, of 32 numbers. Where their range is cut in 15 steps, the integers are known, and for these
    /// the best scale and minimum follow from a line fit, in which larger numbers weigh more. 14 to 16 steps are tried in tenths, each
    /// from the best minimum so far; the first of the least error is taken.
    /// </summary>
    private static (float Scale, float Min) FitWithMinimum(ReadOnlySpan<float> x, Span<byte> q)
    {
        const int Max = 15, Cuts = 21;
        Span<float> weights = stackalloc float[x.Length];
        float squares = 0;
        foreach (float v in x)
            squares += v * v;
        float size = MathF.Sqrt(squares / x.Length), min = x[0], max = x[0], sumW = 0, sumX = 0;
        for (int i = 0; i < x.Length; i++)
        {
            (min, max) = (x[i] < min ? x[i] : min, x[i] > max ? x[i] : max);
            weights[i] = size + MathF.Abs(x[i]);
            sumW += weights[i];
            sumX += weights[i] * x[i];
        }
        min = min > 0 ? 0 : min;
        q.Clear();
        if (max == min)
            return (0, -min);

        float scale = 1 / (Max / (max - min));
        Span<byte> tried = stackalloc byte[x.Length];
        Cut(x, min, Max / (max - min), q);
        float least = Error(x, weights, q, scale, min);
        for (int cut = 0; cut < Cuts; cut++)
        {
            Cut(x, min, (-1 + 0.1f * cut + Max) / (max - min), tried);
            float sumQ = 0, sumQQ = 0, sumQX = 0;
            for (int i = 0; i < x.Length; i++)
            {
                float wq = weights[i] * tried[i];
                sumQ += wq;
                sumQQ += wq * tried[i];
                sumQX += wq * x[i];
            }
            float determinant = sumW * sumQQ - sumQ * sumQ;
            if (!(determinant > 0))
                continue;
            float s = (sumW * sumQX - sumX * sumQ) / determinant, m = (sumQQ * sumX - sumQ * sumQX) / determinant;
            if (m > 0)
                (s, m) = (sumQX / sumQQ, 0);
            float error = Error(x, weights, tried, s, m);
            if (error < least)
            {
                (least, scale, min) = (error, s, m);
                tried.CopyTo(q);
            }
        }
        return (scale, -min);

        static void Cut(ReadOnlySpan<float> x, float min, float steps, Span<byte> q)
        {
            for (int i = 0; i < x.Length; i++)
                q[i] = (byte)Math.Clamp(Nearest(steps * (x[i] - min)), 0, Max);
        }
    }

    private static float Error(ReadOnlySpan<float> x, ReadOnlySpan<float> weights, ReadOnlySpan<byte> q, float scale, float min)
    {
        float error = 0;
        for (int i = 0; i < x.Length; i++)
        {
            float difference = scale * q[i] + min - x[i];
            error += weights[i] * (difference * difference);
        }
        return error;
    }

    /// <summary>
    /// The scale of 16 numbers, of either sign. The largest magnitude becomes -32, or what lies up to 0.9 beside it in tenths; for the
    /// integers that then follow, the best scale is known. Squares weigh the errors. The first of the least error is taken, the
    /// middle before all others.
    /// </summary>
    private static float Fit(ReadOnlySpan<float> x, Span<byte> q)
    {
        const int Bias = 32, Tries = 9;
        float largest = BlockQuantizer.Largest(x);
        q.Clear();
        if (MathF.Abs(largest) < Negligible)
            return 0;

        Span<byte> tried = stackalloc byte[x.Length];
        (float sumQX, float sumQQ) = Try(x, largest, 0, q);
        float scale = sumQQ != 0 ? sumQX / sumQQ : 0, best = scale * sumQX;
        for (int shift = -Tries; shift <= Tries; shift++)
        {
            if (shift == 0)
                continue;
            (sumQX, sumQQ) = Try(x, largest, shift, tried);
            if (sumQQ > 0 && sumQX * sumQX > best * sumQQ)
            {
                scale = sumQX / sumQQ;
                best = scale * sumQX;
                tried.CopyTo(q);
            }
        }
        return scale;

        static (float SumQX, float SumQQ) Try(ReadOnlySpan<float> x, float largest, int shift, Span<byte> q)
        {
            float steps = -(Bias + 0.1f * shift) / largest, sumQX = 0, sumQQ = 0;
            for (int i = 0; i < x.Length; i++)
            {
                int integer = Math.Clamp(Nearest(steps * x[i]), -Bias, Bias - 1);
                q[i] = (byte)(integer + Bias);
                float w = x[i] * x[i];
                sumQX += w * x[i] * integer;
                sumQQ += w * integer * integer;
            }
            return (sumQX, sumQQ);
        }
    }

    // See KBlocks: six bits each, the high two of the last four in the bytes of the first four.
    private static void Pack(Span<byte> packed, int part, int scale, int min)
    {
        if (part < 4)
        {
            packed[part] = (byte)scale;
            packed[4 + part] = (byte)min;
            return;
        }
        packed[4 + part] = (byte)(scale & 15 | (min & 15) << 4);
        packed[part - 4] |= (byte)(scale >> 4 << 6);
        packed[part] |= (byte)(min >> 4 << 6);
    }

    // Halves to even.
    private static int Nearest(float x) => (int)MathF.Round(x);
}
