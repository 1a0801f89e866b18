using System.Buffers;
using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Fast;

/// <summary>
/// Every kernel against the scalar one, the scalar one against what the contract says in so many words, and that against Simple.
/// </summary>
public sealed unsafe class KernelTests
{
    private const int MaxLength = 130, Offset = 1; // an odd address for everything that comes from a file

    private static readonly Random Random = new(1);

    private static Kernel Scalar => Kernel.All[^1];

    /// <summary>Numbers at an odd address, with room for whole lanes behind them.</summary>
    private static float[] Numbers(Palette palette, int count) => [float.NaN, .. palette.Numbers(Random, count), .. new float[16]];

    private static void AssertAllEqual(Func<Kernel, float[]> ask, string what)
    {
        float[] expected = ask(Scalar);
        foreach (Kernel kernel in Kernel.Available)
            Bits.AssertEqual(expected, ask(kernel), $"{kernel.Name}, {what}");
    }

    private static float[] Multiply(Kernel kernel, float[] w, float[] x, int rows, int tokens, int n, bool add)
    {
        int stride = rows + 3;
        float[] o = new float[tokens * stride];
        Array.Fill(o, 0.1f);
        List<MemoryHandle> pins = [];
        Matrix matrix = new(new Float32Tensor(rows, n, w.AsMemory(Offset, rows * n)), pins);
        using NativeBuffer<float> scratch = new();
        fixed (float* px = x, to = o)
            kernel.Multiply(matrix, 0, rows, new Inputs(px, n + 5, null, 0, tokens), to, stride, add, scratch);
        pins.ForEach(pin => pin.Dispose());
        return o;
    }

    [Fact]
    public void Products_of_every_size_have_the_same_bits()
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= MaxLength; n++)
            {
                int rows = 1 + Random.Next(70), tokens = 1 + n % 17;
                bool add = n % 2 == 0;
                (float[] w, float[] x) = (Numbers(palette, rows * n), palette.Numbers(Random, tokens * (n + 5)));
                AssertAllEqual(kernel => Multiply(kernel, w, x, rows, tokens, n, add), $"{palette} {rows} x {n} for {tokens} tokens");
            }
        }
    }

    [Fact]
    public void Scalar_products_are_those_of_the_contract_and_near_Simple_s()
    {
        foreach (Palette palette in (Palette[])[Palette.Normal, Palette.Tiny, Palette.Denormal, Palette.Outlier])
        {
            for (int n = 1; n <= MaxLength; n++)
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
                float fast = Multiply(Scalar, [0, .. w], [.. x, 0, 0, 0, 0, 0], 1, 1, n, add: false)[0];
                Bits.AssertEqual([lanes[0]], [fast], $"{palette} {n}");

                double magnitude = w.Zip(x, (a, b) => Math.Abs((double)a * b)).Sum();
                double bound = n * Math.Pow(2, -23) * magnitude + n * Math.Pow(2, -149);
                Assert.InRange(Math.Abs((double)fast - Llama2.Simple.Nn.Dot(w, x)), 0, bound);
            }
        }
    }

    private static float[] Block(Kernel kernel, float[] x, float[] y, int n, string what)
    {
        float[] o = [.. x, .. new float[16]];
        fixed (float* p = o, py = &y[Offset])
        {
            if (what == "rmsnorm")
                kernel.RmsNorm(p, p, py, n, 1e-5f);
            else if (what == "swiglu")
                kernel.SwiGlu(p, py, n);
            else
                kernel.Softmax(p, n, temperature: 1);
        }
        return o[..n];
    }

    [Theory]
    [InlineData("rmsnorm")]
    [InlineData("swiglu")]
    [InlineData("softmax")]
    public void Blocks_of_every_size_have_the_same_bits(string block)
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= MaxLength; n++)
            {
                (float[] x, float[] y) = (palette.Numbers(Random, n), Numbers(palette, n));
                AssertAllEqual(kernel => Block(kernel, x, y, n, block), $"{block} of {palette}, {n}");
            }
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
            for (int n = 1; n <= MaxLength; n++)
            {
                float[] x = palette.Numbers(Random, n, 3), y = Numbers(palette, n), expected = [.. x];
                if (block == "rmsnorm")
                    Llama2.Simple.Nn.RmsNorm(expected, x, y.AsSpan(Offset, n), 1e-5f);
                else if (block == "swiglu")
                    Llama2.Simple.Nn.SwiGlu(expected, y.AsSpan(Offset, n));
                else
                    Llama2.Simple.Nn.Softmax(expected);
                Bits.AssertEqual(expected, Block(Scalar, x, y, n, block), $"{block} of {palette}, {n}");
            }
        }
    }

    private sealed record Attending(float[] Q, float[] Keys, float[] Values, int Tokens, int Position, int KvHeads, int KvMul, int HeadSize)
    {
        public float[] With(Kernel kernel)
        {
            float[] o = new float[Q.Length];
            using NativeBuffer<float> scratch = new();
            fixed (float* q = Q, to = o, keys = &Keys[Offset], values = &Values[Offset])
            {
                Heads heads = new()
                {
                    Q = q,
                    O = to,
                    Stride = KvHeads * KvMul * HeadSize,
                    Tokens = Tokens,
                    Position = Position,
                    Keys = keys,
                    Values = values,
                    KvDim = KvHeads * HeadSize,
                    KvHeads = KvHeads,
                    KvMul = KvMul,
                    HeadSize = HeadSize,
                };
                kernel.Attend(heads, scratch);
            }
            return o;
        }

        /// <summary>As Simple does it, a head of a query after another.</summary>
        public float[] WithSimple()
        {
            float[] o = new float[Q.Length], att = new float[Position + Tokens];
            int kvDim = KvHeads * HeadSize;
            for (int row = 0; row < Tokens * KvHeads * KvMul; row++)
            {
                Span<float> scores = att.AsSpan(0, Position + row / (KvHeads * KvMul) + 1);
                int kv = Offset + row % (KvHeads * KvMul) / KvMul * HeadSize;
                for (int t = 0; t < scores.Length; t++)
                    scores[t] = Llama2.Simple.Nn.Dot(Q.AsSpan(row * HeadSize, HeadSize),
                        Keys.AsSpan(kv + t * kvDim, HeadSize)) / MathF.Sqrt(HeadSize);
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
            for (int headSize = 2; headSize <= MaxLength; headSize += 2)
            {
                int tokens = 1 + headSize % 14, position = headSize % 37, kvHeads = 1 + headSize % 3, kvMul = 1 + headSize / 2 % 3;
                float[] q = palette.Numbers(Random, tokens * kvHeads * kvMul * headSize);
                int size = (position + tokens) * kvHeads * headSize;
                Attending ask = new(q, Numbers(palette, size), Numbers(palette, size), tokens, position, kvHeads, kvMul, headSize);
                string what = $"{palette}, {tokens} tokens of {kvHeads} * {kvMul} heads of {headSize} at {position}";
                AssertAllEqual(ask.With, what);
                if (Glibc.IsMathF)
                    Bits.AssertEqual(ask.WithSimple(), ask.With(Scalar), what);
            }
        }
    }

    private static float[] Exp<TLanes>(float[] x) where TLanes : struct, ILanes<TLanes>
    {
        float[] o = new float[x.Length];
        fixed (float* p = x, to = o)
        {
            for (int i = 0; TLanes.IsSupported && i < o.Length; i += 16)
                TLanes.Store(to + i, TLanes.Exp(TLanes.Load(p + i)));
        }
        return TLanes.IsSupported ? o : Exp<LanesScalar>(x);
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
            float[] e = Lanes512.IsSupported ? Exp<Lanes512>(x) : Exp<Lanes128>(x);
            if (Glibc.IsMathF)
                Bits.AssertEqual(expected, e, "exp");
            else
                Assert.All(expected.Zip(e), pair => Assert.InRange(Bits.UlpsBetween(pair.First, pair.Second), 0, 2));
            foreach (float[] other in step > 1 ? [Exp<LanesScalar>(x), Exp<Lanes128>(x), Exp<Lanes256>(x)] : (float[][])[])
                Bits.AssertEqual(e, other, "exp");
        }
    }
}
