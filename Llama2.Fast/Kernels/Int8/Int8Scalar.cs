namespace Llama2.Fast.Kernels;

/// <summary>The definition, one product at a time.</summary>
[InlineArray(2)]
internal unsafe struct Int8Scalar : IInt8<Int8Scalar>
{
    private int _lane0;

    public static bool IsSupported => true;
    public static int Lanes => 2;
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

    public static Int8Scalar Dot(Int8Scalar sum, Int8Scalar w, Int8Scalar x)
    {
        for (int i = 0; i < Lanes; i++)
            sum[i] += Dot((sbyte*)&w + i * Depth, (sbyte*)&x + i * Depth, Depth);
        return sum;
    }

    public static Vector128<int> Sum(Int8Scalar a, Int8Scalar b, Int8Scalar c, Int8Scalar d) =>
        Vector128.Create(a[0] + a[1], b[0] + b[1], c[0] + c[1], d[0] + d[1]);

    public static void AddScaled(float* o, Int8Scalar dots, float* wScales, float xScale)
    {
        for (int i = 0; i < Lanes; i++)
            o[i] += dots[i] * wScales[i] * xScale;
    }
}
