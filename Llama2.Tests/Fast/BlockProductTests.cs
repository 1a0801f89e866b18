using System.Buffers;
using System.Runtime.Intrinsics;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Fast;

/// <summary>Matrices of ggml's types: blocks give Simple's bits with every kernel, halves those of the same weights in float32.</summary>
public sealed unsafe class BlockProductTests
{
    private static readonly Random Random = new(3);

    public static TheoryData<string> Blocks => [.. RandomWeights.Blocks.Select(type => type.Name)];

    public static TheoryData<string> Floats => [.. RandomWeights.Floats.Select(type => type.Name)];

    /// <summary>All rows but the first <paramref name="first"/>, as a chunk of a thread's.</summary>
    private static float[] Multiply(Kernel kernel, Tensor tensor, int first, float[] x, int tokens, bool add)
    {
        int n = tensor.Columns, rows = tensor.Rows - first, stride = rows + 3;
        float[] o = new float[tokens * stride];
        Array.Fill(o, 0.1f);
        List<MemoryHandle> pins = [];
        Matrix matrix = new(tensor, pins);
        using BlockActivations blocks = new(n);
        using NativeBuffer<float> scratch = new();
        blocks.EnsureRows(tokens + 1);
        fixed (float* px = x, to = o)
        {
            for (int t = 0; t < tokens; t++)
                kernel.Quantize(px + t * n, blocks, 1 + t);
            kernel.Multiply(matrix, first, rows, new Inputs(px, n, null, 1, tokens, blocks), to, stride, add, scratch);
        }
        pins.ForEach(pin => pin.Dispose());
        return o;
    }

    /// <summary>The same by rows' dot products.</summary>
    private static float[] Expected(Tensor tensor, int first, float[] x, int tokens, bool add, Func<Tensor, float[], float[]> multiply)
    {
        int n = tensor.Columns, rows = tensor.Rows - first, stride = rows + 3;
        float[] o = new float[tokens * stride];
        Array.Fill(o, 0.1f);
        for (int t = 0; t < tokens; t++)
        {
            float[] dots = multiply(tensor, x[(t * n)..((t + 1) * n)]);
            for (int i = 0; i < rows; i++)
                o[t * stride + i] = add ? 0.1f + dots[first + i] : dots[first + i];
        }
        return o;
    }

    private static float[] WithSimple(Tensor tensor, float[] x)
    {
        float[] xout = new float[tensor.Rows];
        tensor.Multiply(x, xout);
        return xout;
    }

    private static float[] AsFloat32(Tensor tensor, float[] x)
    {
        float[] floats = new float[tensor.Elements];
        for (int i = 0; i < tensor.Rows; i++)
            tensor.CopyRow(i, floats.AsSpan(i * tensor.Columns, tensor.Columns));
        return Multiply(Kernel.All[^1], new Float32Tensor(tensor.Rows, tensor.Columns, floats), 0, x, 1, add: false)[..tensor.Rows];
    }

    private static void AssertProducts(GgmlType type, int rows, int columns, Palette palette, Func<Tensor, float[], float[]> multiply)
    {
        int tokens = 1 + Random.Next(Random.Next(4) == 0 ? 60 : 14), first = Random.Next(2) * Random.Next(rows);
        bool add = Random.Next(2) == 0;
        Tensor tensor = RandomWeights.Create(Random, type, rows, columns, size: 1);
        float[] x = palette.Numbers(Random, tokens * columns);
        float[] expected = Expected(tensor, first, x, tokens, add, multiply);
        foreach (Kernel kernel in Kernel.Available)
        {
            Bits.AssertEqual(expected, Multiply(kernel, tensor, first, x, tokens, add),
                $"{kernel.Name}, {type}, {palette}, rows {first} to {rows} of {columns} for {tokens} tokens");
        }
    }

    [Theory]
    [MemberData(nameof(Blocks))]
    public void Products_of_blocks_have_Simple_s_bits(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        foreach (Palette palette in Palettes.All)
        {
            for (int rows = 1; rows <= 40; rows += 1 + Random.Next(5))
                AssertProducts(type, rows, type.BlockElements * (1 + Random.Next(768 / type.BlockElements)), palette, WithSimple);
        }
    }

    [Theory]
    [MemberData(nameof(Blocks))]
    public void Any_bits_give_Simple_s(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        for (int i = 0; i < 40; i++)
        {
            byte[] bytes = new byte[type.RowBytes(768) * 5];
            Random.NextBytes(bytes); // scales are infinite or NaN too
            Tensor tensor = GgmlTensor.Create(type, 5, 768, bytes);
            float[] x = Palette.Normal.Numbers(Random, 768), expected = Expected(tensor, 0, x, 1, add: false, WithSimple);
            foreach (Kernel kernel in Kernel.Available)
                Bits.AssertEqual(expected, Multiply(kernel, tensor, 0, x, 1, add: false), $"{kernel.Name}, {type}");
        }
    }

    [Theory]
    [MemberData(nameof(Blocks))]
    public void The_largest_numbers_of_a_block_do_not_overflow(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        float[] x = new float[512];
        Array.Fill(x, -1f); // -127 everywhere
        foreach (byte fill in (byte[])[0, 0x7f, 0x80, 0xff])
        {
            byte[] bytes = new byte[type.RowBytes(512)];
            Array.Fill(bytes, fill);
            for (int start = 0; start < bytes.Length; start += type.BlockBytes)
            {
                foreach (int offset in RandomWeights.Halves(type))
                    (bytes[start + offset], bytes[start + offset + 1]) = (0, 0x3c); // 1
            }
            Tensor tensor = GgmlTensor.Create(type, 1, 512, bytes);
            float[] weights = new float[512], expected = Expected(tensor, 0, x, 1, add: false, WithSimple);
            tensor.CopyRow(0, weights);
            Assert.Equal(-weights.Sum(w => (double)w), expected[0], 0.01 + weights.Sum(w => Math.Abs(w)) * 1e-6);
            foreach (Kernel kernel in Kernel.Available)
                Bits.AssertEqual(expected, Multiply(kernel, tensor, 0, x, 1, add: false), $"{kernel.Name}, {type}, {fill}");
        }
    }

    [Theory]
    [MemberData(nameof(Floats))]
    public void Products_of_halves_have_the_bits_of_the_same_weights_in_float32(string name)
    {
        foreach (Palette palette in Palettes.All)
        {
            for (int n = 1; n <= 130; n += 1 + Random.Next(7))
                AssertProducts(GgmlType.Find(name)!, 1 + Random.Next(20), n, palette, AsFloat32);
        }
    }

    [Theory]
    [MemberData(nameof(Floats))]
    public void Products_of_halves_that_vanish_keep_their_sign(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        byte[] bytes = new byte[5 * type.RowBytes(20)];
        for (int i = 0; i < bytes.Length; i += type.BlockBytes)
            bytes[i] = 1; // the smallest number there is
        float[] x = new float[20];
        Array.Fill(x, -float.Epsilon);
        Tensor tensor = GgmlTensor.Create(type, 5, 20, bytes);
        foreach (Kernel kernel in Kernel.Available)
            Bits.AssertEqual([-0f, -0f, -0f, -0f, -0f], Multiply(kernel, tensor, 0, x, 1, add: false).AsSpan(0, 5), kernel.Name);
    }

    private static float[] Converted<TLanes>(ushort[] patterns, bool bfloat16) where TLanes : struct, ILanes<TLanes>
    {
        float[] o = new float[patterns.Length];
        fixed (ushort* p = patterns)
        fixed (float* to = o)
        {
            for (int i = 0; TLanes.IsSupported && i < o.Length; i += 16)
                TLanes.Store(to + i, bfloat16 ? TLanes.LoadBFloat16(p + i) : TLanes.LoadFloat16(p + i));
        }
        return TLanes.IsSupported ? o : Converted<LanesScalar>(patterns, bfloat16);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void All_halves_become_the_floats_they_are(bool bfloat16)
    {
        ushort[] patterns = [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];
        float[] expected = [.. patterns.Select(p => bfloat16 ? BitConverter.UInt32BitsToSingle((uint)p << 16)
            : (float)BitConverter.UInt16BitsToHalf(p))];
        Bits.AssertEqual(expected, Converted<LanesScalar>(patterns, bfloat16));
        Bits.AssertEqual(expected, Converted<Lanes128>(patterns, bfloat16));
        Bits.AssertEqual(expected, Converted<Lanes256>(patterns, bfloat16));
        Bits.AssertEqual(expected, Converted<Lanes512>(patterns, bfloat16));
    }

    [Fact]
    public void The_halves_of_blocks_become_the_floats_they_are()
    {
        ushort[] patterns = [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];
        float[] strided = new float[patterns.Length], broadcast = new float[patterns.Length], two = new float[patterns.Length];
        fixed (ushort* p = patterns)
        fixed (float* s = strided, b = broadcast)
        {
            for (int i = 0; i < patterns.Length; i++)
            {
                b[i] = Halves.Broadcast((byte*)(p + i))[7];
                if (i % 8 == 0)
                    Halves.Strided((byte*)(p + i), 2).Store(s + i);
                int pair = Math.Min(i, patterns.Length - 2);
                (Vector256<float> first, Vector256<float> second) = Halves.BroadcastTwo((byte*)(p + pair));
                two[pair] = first[7];
                two[pair + 1] = second[7];
            }
        }
        float[] expected = [.. patterns.Select(pattern => (float)BitConverter.UInt16BitsToHalf(pattern))];
        Bits.AssertEqual(expected, strided);
        Bits.AssertEqual(expected, broadcast);
        Bits.AssertEqual(expected, two);
    }

    private static readonly Config Config = new(256, 512, 2, 4, 2, 40, 24);

    private static Weights Model(Func<GgmlType> type)
    {
        Config c = Config;
        return Weights.From(c.LayerCount, Random.Next(2) == 0, (name, _) => name switch
        {
            "rms_att_weight" or "rms_ffn_weight" or "rms_final_weight" => Float32Tensor.Vector(Palette.Normal.Numbers(Random, c.Dim)),
            "token_embedding_table" or "wcls" => Matrix(c.VocabSize, c.Dim),
            "wk" or "wv" => Matrix(c.KvDim, c.Dim),
            "w1" or "w3" => Matrix(c.HiddenDim, c.Dim),
            "w2" => Matrix(c.Dim, c.HiddenDim),
            _ => Matrix(c.Dim, c.Dim),
        });

        Tensor Matrix(int rows, int columns) => RandomWeights.Create(Random, type(), rows, columns, size: 1);
    }

    private static float[] Logits(ITransformer transformer, int rowsAtOnce)
    {
        KvCache cache = new(Config);
        float[] logits = new float[12 * Config.VocabSize];
        for (int i = 0; i < 12; i += rowsAtOnce)
        {
            IEnumerable<int> positions = Enumerable.Range(i, Math.Min(rowsAtOnce, 12 - i));
            Row[] rows = [.. positions.Select(t => new Row(t * 7 % Config.VocabSize, cache, Want.Logits))];
            transformer.Forward(rows, logits.AsSpan(i * Config.VocabSize, rows.Length * Config.VocabSize));
        }
        transformer.Dispose();
        return logits;
    }

    [Fact]
    public void Models_of_several_types_of_blocks_have_Simple_s_bits()
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        for (int i = 0; i < 6; i++)
        {
            int next = i;
            Weights weights = Model(() => RandomWeights.Blocks[next++ % RandomWeights.Blocks.Count]);
            float[] expected = Logits(new Transformer(Config, weights), 1);
            Assert.All(expected, logit => Assert.True(float.IsFinite(logit)));
            foreach (string kernel in FastTransformer.KernelNames)
                Bits.AssertEqual(expected, Logits(new FastTransformer(Config, weights, 1 + i % 3, kernel), 1 + 2 * i), kernel);
        }
    }

    [Fact]
    public void Models_of_floats_and_blocks_have_the_same_bits_with_every_kernel_and_batch()
    {
        for (int i = 0; i < 6; i++)
        {
            int next = 3 * i;
            GgmlType[] types = [.. RandomWeights.Floats, .. RandomWeights.Blocks];
            Weights weights = Model(() => types[(next += 2) % types.Length]);
            float[] expected = Logits(new FastTransformer(Config, weights, 1, "scalar"), 1);
            float[] simple = Logits(new Transformer(Config, weights), 1);
            double distance = expected.Zip(simple, (a, b) => Math.Abs(a - b)).Aggregate(MathF.Max); // NaN stays
            Assert.InRange(distance, 0, 0.05 * simple.Max(Math.Abs)); // a rounding of the last bit may tip one of int8
            foreach (string kernel in FastTransformer.KernelNames)
                Bits.AssertEqual(expected, Logits(new FastTransformer(Config, weights, 1 + i % 3, kernel), 1 + 2 * i), kernel);
        }
    }

    [Fact]
    public void The_token_that_a_classifier_of_blocks_wants_is_that_of_its_logits()
    {
        foreach (GgmlType type in (GgmlType[])[GgmlType.F16, GgmlType.Find("q4_0")!, GgmlType.Find("q6_K")!])
        {
            Weights weights = Model(() => type);
            float[] logits = new float[Config.VocabSize], token = new float[1];
            using FastTransformer transformer = new(Config, weights, 1, null, minShortlist: 1);
            transformer.Forward([new Row(1, new KvCache(Config), Want.Logits)], logits);
            transformer.Forward([new Row(1, new KvCache(Config), Want.Token)], token);
            Assert.Equal(Sampler.ArgMax(logits), (int)token[0]);
            Assert.Equal(0, transformer.ShortlistBytes);
        }
    }
}
