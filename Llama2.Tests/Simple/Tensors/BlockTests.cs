using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;

namespace Llama2.Tests.Simple.Tensors;

/// <summary>ggml's types become the floats that ggml makes of them.</summary>
public sealed class BlockTests
{
    private static string Blocks(string file) => Repository.Shared("formats", file);

    private static void SkipWithoutBlocks() =>
        Assert.SkipUnless(File.Exists(Blocks("blocks/blocks.json")), "needs ggml's own blocks, in ../shared/formats, beside the clone");

    private static JsonElement Golden() => JsonDocument.Parse(File.ReadAllBytes(Blocks("blocks/blocks.json"))).RootElement;

    private static string Hash(float[] floats) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(floats.AsSpan())));

    private static float[] Floats(GgmlType type, byte[] bytes)
    {
        int columns = bytes.Length / type.BlockBytes * type.BlockElements;
        float[] floats = new float[columns];
        GgmlTensor.Create(type, 1, columns, bytes).CopyRow(0, floats);
        return floats;
    }

    [Fact]
    public void Blocks_of_every_type_become_ggml_s_floats_or_are_refused()
    {
        SkipWithoutBlocks();
        HashSet<string> seen = ["blocks.json", "quantise-input.f32"]; // the files
        int read = 0;
        foreach (JsonProperty golden in Golden().GetProperty("types").EnumerateObject())
        {
            GgmlType type = GgmlType.Find(golden.Value.GetProperty("id").GetUInt32())!;
            Assert.Equal(golden.Name, type.Name);
            Assert.Equal(golden.Value.GetProperty("block").GetInt32(), type.BlockElements);
            Assert.Equal(golden.Value.GetProperty("bytes").GetInt32(), type.BlockBytes);
            if (!type.IsReadable)
            {
                Assert.Throws<TensorTypeException>(() => Floats(type, Read($"{type}.raw")));
                seen.UnionWith(Directory.EnumerateFiles(Blocks("blocks"), $"{type}.*").Select(file => Path.GetFileName(file)));
                continue;
            }
            read++;
            Bits.AssertEqual(ReadFloats($"{type}.f32"), Floats(type, Read($"{type}.raw")), type.Name);
            float[] quantised = Floats(type, Read($"{type}.quantised"));
            Assert.Equal(golden.Value.GetProperty("quantised_f32_sha256").GetString(), Hash(quantised));
            if (type.BlockElements == 256)
                Bits.AssertEqual(ReadFloats($"{type}.quantised.f32"), quantised, type.Name);
        }
        Assert.Equal(GgmlType.All.Count(type => type.Unpack is not null), read);
        Assert.Equal(Directory.EnumerateFiles(Blocks("blocks")).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal),
            seen.Order(StringComparer.Ordinal));

        byte[] Read(string file)
        {
            seen.Add(file);
            return File.ReadAllBytes(Blocks($"blocks/{file}"));
        }

        float[] ReadFloats(string file) => MemoryMarshal.Cast<byte, float>(Read(file)).ToArray();
    }

    [Fact]
    public void All_halves_become_their_floats()
    {
        SkipWithoutBlocks();
        byte[] patterns = MemoryMarshal.AsBytes(Enumerable.Range(0, 1 << 16).Select(i => (ushort)i).ToArray().AsSpan()).ToArray();
        float[] f16 = Floats(GgmlType.F16, patterns), bf16 = Floats(GgmlType.BF16, patterns);
        Assert.Equal(Golden().GetProperty("f16_all_65536").GetProperty("f32_sha256_finite_only").GetString(),
            Hash([.. f16.Where(float.IsFinite)]));
        Assert.Equal(Golden().GetProperty("bf16_all_65536").GetProperty("f32_sha256").GetString(), Hash(bf16));
    }

    [Fact]
    public void Floats_are_quantised_to_ggml_s_bytes()
    {
        SkipWithoutBlocks();
        float[] input = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Blocks("blocks/quantise-input.f32"))).ToArray();
        foreach (GgmlType type in BlockQuantizer.Types.Where(type => type.Unpack is not null))
        {
            byte[] bytes = new byte[type.RowBytes(input.Length)];
            BlockQuantizer.Quantize(type, input, bytes);
            Assert.Equal(File.ReadAllBytes(Blocks($"blocks/{type}.quantised")), bytes);
        }
        foreach (JsonElement golden in Golden().GetProperty("rounding").EnumerateArray())
        {
            float x = BitConverter.UInt32BitsToSingle(Convert.ToUInt32(golden.GetProperty("f32_bits").GetString(), 16));
            foreach (GgmlType type in (GgmlType[])[GgmlType.F16, GgmlType.BF16])
            {
                byte[] bytes = new byte[2];
                BlockQuantizer.Quantize(type, [x], bytes);
                Assert.Equal(golden.GetProperty(type.Name).GetString(), $"{BitConverter.ToUInt16(bytes):x4}");
            }
        }
        Assert.Throws<ArgumentException>("type", () => BlockQuantizer.Quantize(GgmlType.Find("q5_K")!, input, new byte[176]));
    }

    public static TheoryData<string> Quantised => [.. BlockQuantizer.Types.Select(type => type.Name)];

    /// <summary>Blocks of all sorts and of all magnitudes: a type holds them exactly if no number is lost.</summary>
    [Theory, MemberData(nameof(Quantised))]
    public void Numbers_that_a_type_holds_stay_near_and_those_it_does_not_hold_do_not(string name)
    {
        GgmlType type = GgmlType.Find(name)!;
        Random random = new(7);
        int held = 0;
        const int Cases = 1000;
        for (int i = 0; i < Cases; i++)
        {
            double size = Math.Pow(10, 4 + 35 * random.NextDouble());
            float[] x = [.. Enumerable.Range(0, Block.MaxElements).Select(_ => (float)Math.Clamp(Number() * size, -3.4e38, 3.4e38))];
            byte[] bytes = new byte[type.RowBytes(x.Length)];
            BlockQuantizer.Quantize(type, x, bytes);
            double error = Floats(type, bytes).Zip(x, (made, v) => Math.Abs((double)made - v)).Aggregate(Math.Max); // a NaN stays
            bool holds = BlockQuantizer.Holds(type, x);
            Assert.Equal(error <= 0.15 * x.Max(Math.Abs), holds);
            held += holds ? 1 : 0;

            double Number() => (i % 4) switch
            {
                0 => 2 * random.NextDouble() - 1,
                1 => Math.Pow(random.NextDouble(), 20) * (random.Next(2) * 2 - 1),
                2 => -0.9 - 0.1 * random.NextDouble(),
                _ => random.Next(100) == 0 ? 1 : 0,
            };
        }
        Assert.InRange(held, 1, type == GgmlType.F32 ? Cases : Cases - 1);
        foreach (float v in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
            Assert.False(BlockQuantizer.Holds(type, [.. new float[Block.MaxElements - 1], v]));
        Assert.True(BlockQuantizer.Holds(type, new float[Block.MaxElements]));
    }

    [Fact]
    public void Types_that_are_not_read_are_refused_by_name_with_those_that_are()
    {
        GgmlType type = GgmlType.Find("iq2_xxs")!;
        TensorTypeException refused = Assert.Throws<TensorTypeException>(() => GgmlTensor.Create(type, 1, 256, new byte[66]));
        Assert.Same(type, refused.Type);
        Assert.StartsWith("iq2_xxs is not read; requantise", refused.Message, StringComparison.Ordinal);
        Assert.Contains("q4_K", refused.Message, StringComparison.Ordinal);
        Assert.Null(GgmlType.Find(31)); // was q4_0_4_4
    }

    [Fact]
    public void Matrices_that_are_not_there_whole_are_refused()
    {
        GgmlType type = GgmlType.Find("q4_0")!;
        Assert.Throws<ArgumentOutOfRangeException>("columns", () => GgmlTensor.Create(type, 1, 33, new byte[36]));
        Assert.Throws<ArgumentOutOfRangeException>("rows", () => GgmlTensor.Create(type, 2, 32, new byte[35]));
        Assert.Throws<ArgumentOutOfRangeException>("columns", () => GgmlTensor.Create(GgmlType.F32, 1, int.MaxValue, new byte[4]));
        GgmlTensor tensor = Assert.IsAssignableFrom<GgmlTensor>(GgmlTensor.Create(type, 2, 32, new byte[36]));
        Assert.Throws<ArgumentOutOfRangeException>("row", () => tensor.Row(2));
        Assert.Throws<ArgumentOutOfRangeException>("row", () => tensor.Row(-1));
    }

    [Fact]
    public void A_row_beyond_2_GB_is_read_where_it_lies()
    {
        const int Rows = 1 << 17, Columns = 1 << 15; // 2^32 elements: 2.4 GB of holes and one block at the end
        GgmlType type = GgmlType.Find("q4_0")!;
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            const int Header = 3;
            long length = Header + Rows * type.RowBytes(Columns);
            using (FileStream stream = File.Create(path))
            {
                stream.SetLength(length);
                stream.Position = length - type.BlockBytes;
                stream.Write([0, 0x3c, .. Enumerable.Repeat((byte)0x9a, 16)]); // scale 1: 2 in the first half, 1 in the second
            }
            using MappedFile file = MappedFile.Open(path);
            Tensor tensor = GgmlTensor.Create(type, Rows, Columns, file, Header);
            float[] row = new float[Columns];
            tensor.CopyRow(Rows - 1, row);
            Assert.Equal([.. Enumerable.Repeat(2f, 16), .. Enumerable.Repeat(1f, 16)], row[^32..]);
            Assert.Equal(Rows * (long)Columns, tensor.Elements);
            Assert.Throws<ArgumentOutOfRangeException>("rows", () => GgmlTensor.Create(type, Rows, Columns, file, Header + 1));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
