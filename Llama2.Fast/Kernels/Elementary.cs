using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>
/// expf, sinf, cosf and the powf of RoPE with the bits of glibc, which Simple calls through <see cref="MathF"/> on Linux. C libraries
/// differ from one another in the last bit; these bits are the same everywhere: made of + - * and fused multiply-add in double precision,
/// and rounded once to float. Methods and coefficients are those of Arm's Optimized Routines, which glibc took over: a table of 2^(i/32)
/// and a cubic for the exponential; sixteen parts of an octave
/// for the logarithm; an angle's quarter turns and two polynomials for sine and cosine.
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

    // 2^x, for x from 0 to 64; x times 32 is exact
    private static float Exp2(double x)
    {
        double steps = x * Steps, whole = steps + Whole;
        return (float)Power(BitConverter.DoubleToInt64Bits(whole), steps - (whole - Whole));
    }

    private const uint LowestOf2 = 0x3f330000; // bits of 0.69921875; powers of two bring an argument to 1 to 2 times that

    // glibc's table for sixteen parts of that range: 1 / c and log2(c) for a number c near the part's middle
    private static ReadOnlySpan<double> Inverses =>
    [
        1.398907162146528, 1.3403141896637998, 1.286432210124115, 1.2367150214269895, 1.1906977166711752, 1.1479821020556429,
        1.1082251448272158, 1.0711297413057381, 1.036437278977283, 1, 0.9492859795739057, 0.8951049428609004, 0.8476821620351103,
        0.8050314851692001, 0.7664671008843108, 0.731428603316328,
    ];

    private static ReadOnlySpan<double> Logarithms =>
    [
        -0.48430022186289673, -0.42257122959194704, -0.3633754347673556, -0.30651309567405577, -0.25180720160537634, -0.19910014943794563,
        -0.14825100623281615, -0.09913323807318392, -0.051632812977629436, 0, 0.07508531937943004, 0.15987125980713107,
        0.2384046664317681, 0.31288288605863257, 0.38370422656453185, 0.451211048935815,
    ];

    /// <summary>x^y, for x from 1 to 2^60 and y from 0 to 1.</summary>
    public static float Pow(float x, float y) => Exp2(y * Log2(x));

    // log2(x) = k + log2(c) + log2(1 + r) for r = z / c - 1 and x = 2^k z; the last is a polynomial
    private static double Log2(float x)
    {
        const double l1 = 1.4426950408774342, l2 = -0.7213474675006291, l3 = 0.480898481472577;
        const double l4 = -0.36092606229713164, l5 = 0.288457581109214;
        uint bits = BitConverter.SingleToUInt32Bits(x), above = bits - LowestOf2;
        int part = (int)(above >> 19 & 15), k = (int)(above & 0xff800000) >> 23;
        double z = BitConverter.UInt32BitsToSingle(bits - (above & 0xff800000));
        double r = Math.FusedMultiplyAdd(z, Inverses[part], -1), square = r * r;
        double low = Math.FusedMultiplyAdd(l1, r, Logarithms[part] + k);
        low = Math.FusedMultiplyAdd(Math.FusedMultiplyAdd(l3, r, l2), square, low);
        return Math.FusedMultiplyAdd(Math.FusedMultiplyAdd(l5, r, l4), square * square, low);
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
