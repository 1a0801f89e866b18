using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>
/// expf, sinf, cosf and the powf of RoPE with the bits of glibc, which Simple calls through <see cref="MathF"/> on Linux. C libraries
/// differ from one another in the last bit; these bits are the same everywhere: made of + - * and fused multiply-add in double precision,
/// and rounded once to float. Methods and coefficients are those of Arm's Optimized Routines, which glibc took over: a table of 2^(i/32)
/// and a cubic for the exponential; an angle's quarter turns and two polynomials for sine and cosine.
/// </summary>
internal static class Elementary
{
    private const int Steps = 32;                      // of the table, from 1 to 2; a step is a factor of 2^(1/32)
    private const int StepsShift = 52 - 5;             // shifts steps / 32 into a double's exponent; the low 5 bits index the table
    private const double Whole = 6755399441055744;     // 1.5 * 2^52: adding it rounds to a whole number, in the lowest bits
    private const double StepsOfE = 46.16624130844683; // 32 / ln 2

    private const float MaxExponent = 89, MinExponent = -104; // e^89 is infinite as a float, e^-104 is 0

    // 2^(r/32) = 1 + C1 r + C2 r^2 + C3 r^3 for |r| up to 1/2
    private const double C1 = 0.021660849396613134, C2 = 0.00023459809789509004, C3 = 1.6938359250920212E-06;

    // glibc's table: bits(2^(i/32)) - (i << StepsShift); adding steps << StepsShift restores them
    private static ReadOnlySpan<long> Powers =>
    [
        0x3ff0000000000000, 0x3fefd9b0d3158574, 0x3fefb5586cf9890f, 0x3fef9301d0125b51, 0x3fef72b83c7d517b, 0x3fef54873168b9aa,
        0x3fef387a6e756238, 0x3fef1e9df51fdee1, 0x3fef06fe0a31b715, 0x3feef1a7373aa9cb, 0x3feedea64c123422, 0x3feece086061892d,
        0x3feebfdad5362a27, 0x3feeb42b569d4f82, 0x3feeab07dd485429, 0x3feea47eb03a5585, 0x3feea09e667f3bcd, 0x3fee9f75e8ec5f74,
        0x3feea11473eb0187, 0x3feea589994cce13, 0x3feeace5422aa0db, 0x3feeb737b0cdc5e5, 0x3feec49182a3f090, 0x3feed503b23e255d,
        0x3feee89f995ad3ad, 0x3feeff76f2fb5e47, 0x3fef199bdd85529c, 0x3fef3720dcef9069, 0x3fef5818dcfba487, 0x3fef7c97337b9b5f,
        0x3fefa4afa2a490da, 0x3fefd0765b6e4540,
    ];

    /// <summary>e^x.</summary>
    public static float Exp(float x)
    {
        double bounded = x > MaxExponent ? MaxExponent : x < MinExponent ? MinExponent : x;
        double whole = Math.FusedMultiplyAdd(StepsOfE, bounded, Whole);
        return (float)Power(BitConverter.DoubleToInt64Bits(whole), Math.FusedMultiplyAdd(StepsOfE, bounded, -(whole - Whole)));
    }

    /// <summary>2^x, for x from 0 to 64; x times 32 is exact.</summary>
    public static float Exp2(double x)
    {
        double steps = x * Steps, whole = steps + Whole;
        return (float)Power(BitConverter.DoubleToInt64Bits(whole), steps - (whole - Whole));
    }

    // 2^((steps + r) / 32)
    private static double Power(long steps, double r)
    {
        double scale = BitConverter.Int64BitsToDouble(Powers[(int)(steps & (Steps - 1))] + (steps << StepsShift));
        return Math.FusedMultiplyAdd(Math.FusedMultiplyAdd(C3, r, C2), r * r, Math.FusedMultiplyAdd(C1, r, 1)) * scale;
    }

    /// <summary><see cref="Exp(float)"/> of each element, on AVX-512.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        x = Vector512.ConditionalSelect(Vector512.GreaterThan(x, Vector512.Create(MaxExponent)), Vector512.Create(MaxExponent), x);
        x = Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512.Create(MinExponent)), Vector512.Create(MinExponent), x);
        (Vector512<double> lower, Vector512<double> upper) = Vector512.Widen(x);
        return Vector512.Narrow(Exp(lower), Exp(upper));
    }

    [MethodImpl(Jit.Inline)]
    private static Vector512<double> Exp(Vector512<double> x)
    {
        Vector512<double> stepsOfE = Vector512.Create(StepsOfE);
        Vector512<double> whole = Vector512.FusedMultiplyAdd(stepsOfE, x, Vector512.Create(Whole));
        Vector512<double> r = Vector512.FusedMultiplyAdd(stepsOfE, x, Vector512.Create(Whole) - whole);
        Vector512<long> steps = whole.AsInt64();
        Vector512<double> scale = (PowersOf(steps & Vector512.Create(Steps - 1L)) + (steps << StepsShift)).AsDouble();
        Vector512<double> e = Vector512.FusedMultiplyAdd(Vector512.Create(C3), r, Vector512.Create(C2));
        return Vector512.FusedMultiplyAdd(e, r * r, Vector512.FusedMultiplyAdd(Vector512.Create(C1), r, Vector512<double>.One)) * scale;
    }

    [MethodImpl(Jit.Inline)]
    private static Vector512<long> PowersOf(Vector512<long> i)
    {
        ReadOnlySpan<long> powers = Powers;
        Vector512<long> lower = Avx512F.PermuteVar8x64x2(Vector512.Create(powers), i, Vector512.Create(powers[8..]));
        Vector512<long> upper = Avx512F.PermuteVar8x64x2(Vector512.Create(powers[16..]), i, Vector512.Create(powers[24..]));
        return Vector512.ConditionalSelect(Vector512.LessThan(i, Vector512.Create(Steps / 2L)), lower, upper);
    }

    /// <summary><see cref="Exp(float)"/> of each element.</summary>
    public static Vector128<float> Exp(Vector128<float> x)
    {
        x = Vector128.ConditionalSelect(Vector128.GreaterThan(x, Vector128.Create(MaxExponent)), Vector128.Create(MaxExponent), x);
        x = Vector128.ConditionalSelect(Vector128.LessThan(x, Vector128.Create(MinExponent)), Vector128.Create(MinExponent), x);
        (Vector128<double> lower, Vector128<double> upper) = Vector128.Widen(x);
        return Vector128.Narrow(Exp(lower), Exp(upper));
    }

    [MethodImpl(Jit.Inline)]
    private static Vector128<double> Exp(Vector128<double> x)
    {
        Vector128<double> stepsOfE = Vector128.Create(StepsOfE);
        Vector128<double> whole = Vector128.FusedMultiplyAdd(stepsOfE, x, Vector128.Create(Whole));
        Vector128<double> r = Vector128.FusedMultiplyAdd(stepsOfE, x, Vector128.Create(Whole) - whole);
        Vector128<long> steps = whole.AsInt64(), i = steps & Vector128.Create(Steps - 1L);
        Vector128<double> scale = (Vector128.Create(Powers[(int)i[0]], Powers[(int)i[1]]) + (steps << StepsShift)).AsDouble();
        Vector128<double> e = Vector128.FusedMultiplyAdd(Vector128.Create(C3), r, Vector128.Create(C2));
        return Vector128.FusedMultiplyAdd(e, r * r, Vector128.FusedMultiplyAdd(Vector128.Create(C1), r, Vector128<double>.One)) * scale;
    }

    /// <summary>Sine and cosine of an angle from 0 to 2^24.</summary>
    public static void SinCos(float angle, out float sin, out float cos)
    {
        if (angle < 0.000244140625f) // 2^-12
        {
            (sin, cos) = (angle, 1);
            return;
        }
        (int quarters, double r) = angle < 0.7853982f ? (0, angle) : angle < 120 ? FewQuarters(angle) : ManyQuarters(angle);
        float s = (float)Sin(r), c = (float)Cos(r);
        (sin, cos) = (quarters & 3) switch { 0 => (s, c), 1 => (c, -s), 2 => (-s, -c), _ => (-c, s) };
    }

    private const double Quarter = 1.5707963267948966; // of a turn, in radians

    // A whole number of quarters to the nearest, and what is left.
    private static (int Quarters, double Left) FewQuarters(double angle)
    {
        int quarters = (int)(angle * (2 / Math.PI * (1 << 24))) + (1 << 23) >> 24;
        return (quarters, Math.FusedMultiplyAdd(-quarters, Quarter, angle));
    }

    /// <summary>The same where a double has too few digits: quarters as a whole number, with 62 bits behind the point.</summary>
    private static (int Quarters, double Left) ManyQuarters(float angle)
    {
        UInt128 twoOverPi = new(0xa2f983, 0x6e4e441529fc2757); // * 2^-88
        uint bits = BitConverter.SingleToUInt32Bits(angle), exponent = bits >> 23;
        UInt128 digits = (bits & 0x7fffff | 0x800000) << (int)(exponent % 8);
        ulong quarters = (ulong)(digits * (twoOverPi >> (int)(144 - 8 * (exponent / 8))) >> 32);
        ulong whole = quarters + (1UL << 61) >> 62;
        return ((int)whole, (long)(quarters - (whole << 62)) * (Quarter / (1L << 62)));
    }

    private static double Sin(double r)
    {
        const double s3 = -0.16666654943701084, s5 = 0.008332178146138854, s7 = -0.00019517298981385725;
        double square = r * r, cube = r * square;
        return Math.FusedMultiplyAdd(cube * square, Math.FusedMultiplyAdd(square, s7, s5), Math.FusedMultiplyAdd(cube, s3, r));
    }

    private static double Cos(double r)
    {
        const double c2 = -0.49999999725108224, c4 = 0.041666623324344516, c6 = -0.001388676379437604, c8 = 2.4390450703564542E-05;
        double square = r * r, fourth = square * square;
        double low = Math.FusedMultiplyAdd(fourth, c4, Math.FusedMultiplyAdd(square, c2, 1));
        return Math.FusedMultiplyAdd(fourth * square, Math.FusedMultiplyAdd(square, c8, c6), low);
    }
}
