namespace Llama2.Fast.Kernels;

/// <summary>The definition, one product at a time.</summary>
[InlineArray(4)]
internal unsafe struct Int8Scalar : IInt8<Int8Scalar>
{
    private int _lane0;

    public static bool IsSupported => true;
    public static int Lanes => 4;
    public static bool CanTransposeRows => true;
    public static int Depth => 4;
    public static int Bias => 0;

    public static Int8Scalar Create(int lane)
    {
        Int8Scalar v = default;
        ((Span<int>)v).Fill(lane);
        return v;
    }

    public static Int8Scalar Load(sbyte* p) => *(Int8Scalar*)p;
    public static Int8Scalar LoadSixteen(sbyte* p) => Load(p);
    public static Int8Scalar AddBias(Int8Scalar w) => w;

    /// <summary>The sum of w[j] * x[j] over j below n; it wraps around as the registers do.</summary>
    public static int Dot(sbyte* w, sbyte* x, int n)
    {
        int sum = 0;
        for (int j = 0; j < n; j++)
            sum += w[j] * x[j];
        return sum;
    }

    public static Int8Scalar operator +(Int8Scalar a, Int8Scalar b)
    {
        for (int i = 0; i < Lanes; i++)
            a[i] += b[i];
        return a;
    }

    public static void LoadRows(sbyte* p, nint apart, out Int8Scalar a, out Int8Scalar b, out Int8Scalar c, out Int8Scalar d)
    {
        Unsafe.SkipInit(out a);
        Unsafe.SkipInit(out b);
        Unsafe.SkipInit(out c);
        Unsafe.SkipInit(out d);
        for (int i = 0; i < Lanes; i++)
        {
            int* q = (int*)(p + i * apart);
            (a[i], b[i], c[i], d[i]) = (q[0], q[1], q[2], q[3]);
        }
    }

    public static Int8Scalar Dot(Int8Scalar sum, Int8Scalar w, Int8Scalar x)
    {
        for (int i = 0; i < Lanes; i++)
            sum[i] += Dot((sbyte*)&w + i * Depth, (sbyte*)&x + i * Depth, Depth);
        return sum;
    }

    public static Vector128<int> Sum(Int8Scalar a, Int8Scalar b, Int8Scalar c, Int8Scalar d) =>
        Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));

    private static int Sum(Int8Scalar v) => v[0] + v[1] + v[2] + v[3];

    public static void AddScaled(float* o, Int8Scalar dots, float* wScales, float xScale)
    {
        for (int i = 0; i < Lanes; i++)
            o[i] += (BitConverter.Int32BitsToSingle(dots[i]) - Int8Starts.ZeroAsFloat) * wScales[i] * xScale;
    }
}
