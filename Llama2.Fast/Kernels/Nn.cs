namespace Llama2.Fast.Kernels;

/// <summary>
/// Neural net blocks on whole lanes, with Simple's operations in Simple's order and so with Simple's bits. Vectors named o, x and hb are
/// the transformer's own: they have room up to the next multiple of sixteen. Weights end where they end.
/// </summary>
internal static unsafe class Nn<TLanes> where TLanes : struct, ILanes<TLanes>
{
    private const float Whole = 12582912; // 1.5 * 2^23: adding it rounds to a whole number, as a float of this size has no fraction

    /// <summary>o = weight * x / rms(x), with epsilon added to the mean square; o may be x.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void RmsNorm(float* o, float* x, float* weight, int n, float epsilon)
    {
        float ss = 0;
        for (int j = 0; j < n; j++)
            ss += x[j] * x[j];
        ss /= n;
        ss += epsilon;
        ss = 1.0f / MathF.Sqrt(ss);
        TLanes scale = TLanes.Create(ss);
        for (int j = 0; j < n; j += Lanes.Count)
        {
            TLanes w = j + Lanes.Count <= n ? TLanes.Load(weight + j) : TLanes.LoadPartial(weight + j, n - j, 0);
            TLanes.Store(o + j, w * (scale * TLanes.Load(x + j)));
        }
    }

    /// <summary>hb = silu(hb) * hb2, SwiGLU.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void SwiGlu(float* hb, float* hb2, int n)
    {
        TLanes one = TLanes.Create(1), zero = TLanes.Create(0);
        for (int j = 0; j < n; j += Lanes.Count)
        {
            TLanes x = TLanes.Load(hb + j);
            TLanes.Store(hb + j, x * (one / (one + TLanes.Exp(zero - x))) * TLanes.Load(hb2 + j));
        }
    }

    /// <summary>x = exp(x / temperature - max) / sum of these, summed first to last. Whole lanes are written.</summary>
    public static void Softmax(float* x, int n, float temperature)
    {
        Divide(x, n, temperature);
        ExpMinusMax(x, n);
        float sum = 0;
        for (int t = 0; t < n; t++)
            sum += x[t];
        Divide(x, n, sum);
    }

    /// <summary>x = exp(x - max(x)), the first of softmax's steps.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void ExpMinusMax(float* x, int n)
    {
        for (int t = n; t % Lanes.Count != 0; t++)
            x[t] = float.NegativeInfinity; // less than any maximum
        TLanes max = TLanes.Create(MaxOf(x, n));
        for (int t = 0; t < n; t += Lanes.Count)
            TLanes.Store(x + t, TLanes.Exp(TLanes.Load(x + t) - max));
    }

    /// <summary>The maximum of n floats, whole lanes; NaN counts as -infinity.</summary>
    [MethodImpl(Jit.Optimize)] public static float Max(float* x, int n) => MaxOf(x, n);

    [MethodImpl(Jit.Inline)]
    private static float MaxOf(float* x, int n)
    {
        TLanes max = TLanes.Create(float.NegativeInfinity);
        for (int t = 0; t < n; t += Lanes.Count)
            max = TLanes.Max(TLanes.Load(x + t), max);
        return TLanes.MaxAcross(max);
    }

    /// <summary>x = x / divisor.</summary>
    [MethodImpl(Jit.Optimize)]
    public static void Divide(float* x, int n, float divisor)
    {
        TLanes divisors = TLanes.Create(divisor);
        for (int t = 0; t < n; t += Lanes.Count)
            TLanes.Store(x + t, TLanes.Load(x + t) / divisors);
    }

    /// <summary>Quantises x in groups: bit for bit Simple's <c>QuantizeActivations</c>, or its <c>QuantizeWeights</c>.</summary>
    /// <param name="x">The floats.</param>
    /// <param name="n">How many.</param>
    /// <param name="groupSize">Elements a group; the last may be shorter.</param>
    /// <param name="values">Receives the int8 values.</param>
    /// <param name="scales">Receives a scale for each group.</param>
    /// <param name="halvesToEven">Whether halves round to even, or else away from zero.</param>
    [MethodImpl(Jit.Optimize)]
    public static void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven)
    {
        sbyte* rest = stackalloc sbyte[Lanes.Count];
        for (int start = 0; start < n; start += groupSize, scales++)
        {
            int count = Math.Min(groupSize, n - start);
            *scales = MaxMagnitude(x + start, count) / 127;
            TLanes scale = TLanes.Create(*scales);
            int j = 0;
            for (; j + Lanes.Count <= count; j += Lanes.Count)
                TLanes.StoreInt8(values + start + j, ToInt8(TLanes.Load(x + start + j) / scale, halvesToEven));
            if (j < count)
            {
                TLanes.StoreInt8(rest, ToInt8(TLanes.LoadPartial(x + start + j, count - j, 0) / scale, halvesToEven));
                for (int l = 0; j + l < count; l++)
                    values[start + j + l] = rest[l];
            }
            if (n - start <= groupSize)
                return; // start + groupSize may overflow
        }
    }

    /// <summary>Quantises what a matrix of blocks multiplies: bit for bit Simple's <c>QuantizeTo15Bits</c>, in two digits.</summary>
    /// <param name="x">The floats.</param>
    /// <param name="n">How many: whole groups, at most a unit.</param>
    /// <param name="unit">Receives the digits and the scales.</param>
    [MethodImpl(Jit.Optimize)]
    public static void QuantizeUnit(float* x, int n, BlockUnit* unit)
    {
        for (int start = 0; start < n; start += BlockUnit.GroupSize)
        {
            float scale = MaxMagnitude(x + start, BlockUnit.GroupSize) / BlockUnit.MaxValue;
            unit->Scales[start / BlockUnit.GroupSize] = scale;
            for (int j = start; j < start + BlockUnit.GroupSize; j += Lanes.Count)
            {
                TLanes value = Round(Clamp(TLanes.Load(x + j) / TLanes.Create(scale), BlockUnit.MaxValue));
                TLanes high = Round(value * TLanes.Create(1f / BlockUnit.HighDigit));
                TLanes.StoreInt8(unit->High + j, high);
                TLanes.StoreInt8(unit->Low + j, value - high * TLanes.Create(BlockUnit.HighDigit));
            }
        }
    }

    [MethodImpl(Jit.Inline)]
    private static float MaxMagnitude(float* x, int n)
    {
        TLanes lanes = TLanes.Create(0);
        int j = 0;
        for (; j + Lanes.Count <= n; j += Lanes.Count)
            lanes = TLanes.Max(TLanes.Abs(TLanes.Load(x + j)), lanes); // NaN is left out
        if (j < n)
            lanes = TLanes.Max(TLanes.Abs(TLanes.LoadPartial(x + j, n - j, 0)), lanes);
        return TLanes.MaxAcross(lanes);
    }

    // Halves away from zero: the largest float below 0.5 is added before StoreInt8 truncates, since 0.49999997 + 0.5 would round to 1; it
    // is right for all quotients up to 127.
    [MethodImpl(Jit.Inline)]
    private static TLanes ToInt8(TLanes quotient, bool halvesToEven)
    {
        TLanes x = Clamp(quotient, 127);
        return halvesToEven ? Round(x) : x + TLanes.CopySign(TLanes.Create(0.49999997f), x);
    }

    // Halves to even.
    [MethodImpl(Jit.Inline)]
    private static TLanes Round(TLanes x) => x + TLanes.Create(Whole) - TLanes.Create(Whole);

    // A quotient beyond the maximum comes from a denormal scale that lost its digits.
    [MethodImpl(Jit.Inline)]
    private static TLanes Clamp(TLanes quotient, float max) => TLanes.Max(TLanes.Create(-max), TLanes.Min(TLanes.Create(max), quotient));

    /// <summary>
    /// x[i] +- (errors[i] * xNorm + norms[i] * xError) bounds a logit of which x[i] is an estimate. Writes the upper bounds to x, infinity
    /// where they are NaN, and returns the maximum of the lower bounds.
    /// </summary>
    [MethodImpl(Jit.Optimize)]
    public static float Bound(float* x, float* errors, float* norms, int n, float xNorm, float xError)
    {
        TLanes xNorms = TLanes.Create(xNorm), xErrors = TLanes.Create(xError), infinity = TLanes.Create(float.PositiveInfinity);
        TLanes lower = TLanes.Create(float.NegativeInfinity);
        for (int j = 0; j < n; j += Lanes.Count)
        {
            TLanes estimate = TLanes.Load(x + j), bound = TLanes.Load(errors + j) * xNorms + TLanes.Load(norms + j) * xErrors;
            lower = TLanes.Max(estimate - bound, lower); // NaN is left out
            TLanes.Store(x + j, TLanes.Min(estimate + bound, infinity));
        }
        return TLanes.MaxAcross(lower);
    }
}
