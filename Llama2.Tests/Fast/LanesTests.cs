using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Fast;

/// <summary>Every width of lanes against the scalar ones, the scalar ones against what the contract says in so many words, and that against Simple.</summary>
public sealed unsafe class LanesTests
{
    private const int Longest = 130, Offset = 1; // an odd address for everything that comes from a file

    private static readonly Random Random = new(1);

    /// <summary>Numbers at an odd address, with room for whole lanes behind them.</summary>
    private static float[] Numbers(Palette palette, int count) => [float.NaN, .. palette.Numbers(Random, count), .. new float[16]];

    /// <summary>What a test asks of one width of lanes.</summary>
    private interface IAsk
    {
        float[] Of<TLanes>() where TLanes : struct, ILanes<TLanes>;
    }

    private static void AssertAllEqual(IAsk ask, string what)
    {
        float[] expected = ask.Of<LanesScalar>();
        if (Lanes128.IsSupported)
            Bits.AssertEqual(expected, ask.Of<Lanes128>(), "128 bits, " + what);
        if (Lanes256.IsSupported)
            Bits.AssertEqual(expected, ask.Of<Lanes256>(), "256 bits, " + what);
        if (Lanes512.IsSupported)
            Bits.AssertEqual(expected, ask.Of<Lanes512>(), "512 bits, " + what);
    }

    private sealed record Product(float[] W, float[] X, int Rows, int Tokens, int N, bool Add) : IAsk
    {
        public float[] Of<TLanes>() where TLanes : struct, ILanes<TLanes>
        {
            int stride = Rows + 3;
            float[] o = new float[Tokens * stride];
            Array.Fill(o, 0.1f);
            fixed (float* w = &W[Offset], x = X, to = o)
                MatMul<TLanes>.Multiply(w, N, Rows, x, N + 5, Tokens, N, to, stride, Add);
            return o;
        }
    }

    [Fact]
    public void Products_of_every_size_have_the_same_bits()
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= Longest; n++)
            {
                int rows = 1 + n % 9, tokens = 1 + n % 13;
                Product ask = new(Numbers(palette, rows * n), palette.Numbers(Random, tokens * (n + 5)), rows, tokens, n, n % 2 == 0);
                AssertAllEqual(ask, $"{palette} {rows} x {n} for {tokens} tokens");
            }
        }
    }

    [Fact]
    public void Scalar_products_are_those_of_the_contract_and_near_Simple_s()
    {
        foreach (Palette palette in (Palette[])[Palette.Normal, Palette.Tiny, Palette.Denormal, Palette.Outlier])
        {
            for (int n = 1; n <= Longest; n++)
            {
                float[] w = palette.Numbers(Random, n), x = palette.Numbers(Random, n);
                float[] lanes = new float[16];
                for (int j = 0; j < n; j++)
                    lanes[j % 16] = MathF.FusedMultiplyAdd(w[j], x[j], lanes[j % 16]);
                for (int half = 8; half > 0; half /= 2)
                {
                    for (int l = 0; l < half; l++)
                        lanes[l] += lanes[l + half];
                }
                float fast = new Product([0, .. w], [.. x, 0, 0, 0, 0, 0], 1, 1, n, Add: false).Of<LanesScalar>()[0];
                Bits.AssertEqual([lanes[0]], [fast], $"{palette} {n}");

                double magnitude = w.Zip(x, (a, b) => Math.Abs((double)a * b)).Sum();
                double bound = n * Math.Pow(2, -23) * magnitude + n * Math.Pow(2, -149);
                Assert.InRange(Math.Abs((double)fast - Llama2.Simple.Nn.Dot(w, x)), 0, bound);
            }
        }
    }

    private sealed record Block(float[] X, float[] Y, int N, string What) : IAsk
    {
        public float[] Of<TLanes>() where TLanes : struct, ILanes<TLanes>
        {
            float[] o = [.. X, .. new float[16]];
            fixed (float* p = o, y = &Y[Offset])
            {
                if (What == "rmsnorm")
                    Nn<TLanes>.RmsNorm(p, p, y, N);
                else if (What == "swiglu")
                    Nn<TLanes>.SwiGlu(p, y, N);
                else
                    Nn<TLanes>.Softmax(p, N);
            }
            return o[..N];
        }
    }

    [Theory]
    [InlineData("rmsnorm")]
    [InlineData("swiglu")]
    [InlineData("softmax")]
    public void Blocks_of_every_size_have_the_same_bits(string block)
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= Longest; n++)
                AssertAllEqual(new Block(palette.Numbers(Random, n), Numbers(palette, n), n, block), $"{block} of {palette}, {n}");
        }
    }

    [Theory]
    [InlineData("rmsnorm")]
    [InlineData("swiglu")]
    [InlineData("softmax")]
    public void Blocks_have_Simple_s_bits(string block)
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= Longest; n++)
            {
                float[] x = palette.Numbers(Random, n, 3), y = Numbers(palette, n), expected = [.. x];
                if (block == "rmsnorm")
                    Llama2.Simple.Nn.RmsNorm(expected, x, y.AsSpan(Offset, n));
                else if (block == "swiglu")
                    Llama2.Simple.Nn.SwiGlu(expected, y.AsSpan(Offset, n));
                else
                    Llama2.Simple.Nn.Softmax(expected);
                Bits.AssertEqual(expected, new Block(x, y, n, block).Of<LanesScalar>(), $"{block} of {palette}, {n}");
            }
        }
    }

    private sealed record Attending(float[] Q, float[] Keys, float[] Values, int Queries, int Position, int KvHeads, int KvMul, int HeadSize) : IAsk
    {
        public float[] Of<TLanes>() where TLanes : struct, ILanes<TLanes>
        {
            float[] o = new float[Q.Length];
            fixed (float* q = Q, to = o, keys = &Keys[Offset], values = &Values[Offset])
            {
                Heads heads = new()
                {
                    Q = q,
                    O = to,
                    Stride = KvHeads * KvMul * HeadSize,
                    Queries = Queries,
                    Position = Position,
                    Keys = keys,
                    Values = values,
                    KvDim = KvHeads * HeadSize,
                    KvHeads = KvHeads,
                    KvMul = KvMul,
                    HeadSize = HeadSize,
                };
                float[] scratch = new float[Attention<TLanes>.ScratchCount(heads)];
                fixed (float* memory = scratch)
                    Attention<TLanes>.Attend(heads, memory);
            }
            return o;
        }

        /// <summary>As Simple does it, a head of a query after another.</summary>
        public float[] OfSimple()
        {
            float[] o = new float[Q.Length], att = new float[Position + Queries];
            int kvDim = KvHeads * HeadSize;
            for (int row = 0; row < Queries * KvHeads * KvMul; row++)
            {
                Span<float> scores = att.AsSpan(0, Position + row / (KvHeads * KvMul) + 1);
                int kv = Offset + row % (KvHeads * KvMul) / KvMul * HeadSize;
                for (int t = 0; t < scores.Length; t++)
                    scores[t] = Llama2.Simple.Nn.Dot(Q.AsSpan(row * HeadSize, HeadSize), Keys.AsSpan(kv + t * kvDim, HeadSize)) / MathF.Sqrt(HeadSize);
                Llama2.Simple.Nn.Softmax(scores);
                for (int t = 0; t < scores.Length; t++)
                    Llama2.Simple.Nn.AddScaled(o.AsSpan(row * HeadSize, HeadSize), Values.AsSpan(kv + t * kvDim, HeadSize), scores[t]);
            }
            return o;
        }
    }

    [Fact]
    public void Attention_of_every_size_has_the_same_bits_and_Simple_s()
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int headSize = 2; headSize <= Longest; headSize += 2)
            {
                int queries = 1 + headSize % 14, position = headSize % 37, kvHeads = 1 + headSize % 3, kvMul = 1 + headSize / 2 % 3;
                float[] q = palette.Numbers(Random, queries * kvHeads * kvMul * headSize);
                int size = (position + queries) * kvHeads * headSize;
                Attending ask = new(q, Numbers(palette, size), Numbers(palette, size), queries, position, kvHeads, kvMul, headSize);
                string what = $"{palette}, {queries} queries of {kvHeads} * {kvMul} heads of {headSize} at {position}";
                AssertAllEqual(ask, what);
                if (Glibc.IsMathF)
                    Bits.AssertEqual(ask.OfSimple(), ask.Of<LanesScalar>(), what);
            }
        }
    }

    private sealed record Exponential(float[] X) : IAsk
    {
        public float[] Of<TLanes>() where TLanes : struct, ILanes<TLanes>
        {
            float[] o = new float[X.Length];
            fixed (float* x = X, to = o)
            {
                for (int i = 0; i < o.Length; i += 16)
                    TLanes.Store(to + i, TLanes.Exp(TLanes.Load(x + i)));
            }
            return o;
        }
    }

    /// <summary>Set, to try all 2^32 floats (a minute).</summary>
    private const string AllFloats = "LLAMA2_ALL_FLOATS";

    [Fact]
    public void Exp_has_the_bits_of_MathF_s_and_the_same_at_every_width()
    {
        // A stride of 9973 meets every exponent and sign, the whole range of results, NaN and the infinities.
        long step = Environment.GetEnvironmentVariable(AllFloats) is null ? 9973 : 1;
        float[] x = new float[1 << 16], expected = new float[x.Length];
        for (long bits = 0; bits < 1L << 32;)
        {
            for (int i = 0; i < x.Length; i++, bits += step)
            {
                x[i] = BitConverter.UInt32BitsToSingle((uint)Math.Min(bits, uint.MaxValue));
                expected[i] = MathF.Exp(x[i]);
            }
            Exponential ask = new(x);
            float[] e = Lanes512.IsSupported ? ask.Of<Lanes512>() : ask.Of<Lanes128>();
            if (Glibc.IsMathF)
                Bits.AssertEqual(expected, e, "exp");
            else
                Assert.All(expected.Zip(e), pair => Assert.InRange(Bits.UlpsBetween(pair.First, pair.Second), 0, 2));
            if (step > 1)
                AssertAllEqual(ask, "exp");
        }
    }
}
