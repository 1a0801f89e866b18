namespace Llama2.Tests.Properties;

/// <summary>Kinds of numbers that have gone wrong somewhere, as weights or activations.</summary>
public enum Palette
{
    /// <summary>Bell-shaped, as trained weights are.</summary>
    Normal,

    /// <summary>Zeros of both signs.</summary>
    Zeros,

    /// <summary>Around 1e-3: the 1e-5 that a norm adds to the mean square counts.</summary>
    Small,

    /// <summary>Around 1e-20: squares vanish.</summary>
    Tiny,

    /// <summary>Around 1e18: squares overflow.</summary>
    Huge,

    /// <summary>Denormal numbers.</summary>
    Denormal,

    /// <summary>One number far from all others, as a group's scale fears it.</summary>
    Outlier,

    /// <summary>NaN and infinities among normal numbers.</summary>
    NonFinite,
}

internal static class Palettes
{
    /// <summary>Palettes of finite numbers whose forward pass stays finite, so that errors can be bounded.</summary>
    public static readonly Palette[] Tame = [Palette.Normal, Palette.Zeros, Palette.Small, Palette.Tiny, Palette.Denormal, Palette.Outlier];

    public static readonly Palette[] All = Enum.GetValues<Palette>();

    /// <summary>Numbers of a palette; <paramref name="scale"/> is the spread of the normal ones.</summary>
    public static float[] Numbers(this Palette palette, Random random, int count, float scale = 1)
    {
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++)
            numbers[i] = palette switch
            {
                Palette.Zeros => random.Next(2) == 0 ? 0f : -0f,
                Palette.Small => Bell(random) * 1e-3f,
                Palette.Tiny => Bell(random) * 1e-20f,
                Palette.Huge => Bell(random) * 1e18f,
                Palette.Denormal => BitConverter.Int32BitsToSingle((random.Next(2) << 31) | random.Next(1 << 23)),
                Palette.NonFinite when random.Next(count) == 0 =>
                    random.GetItems([float.NaN, float.PositiveInfinity, float.NegativeInfinity], 1)[0],
                _ => Bell(random) * scale,
            };
        if (palette == Palette.Outlier && count > 0)
            numbers[random.Next(count)] = 1000 * scale;
        return numbers;
    }

    private static float Bell(Random random) => (float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5);
}
