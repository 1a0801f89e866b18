using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Tests.Golden;

namespace Llama2.Tests.Fast;

public sealed unsafe class RopeTests
{
    [Theory]
    [InlineData(2, 1 << 24)]
    [InlineData(8, 512)]
    [InlineData(48, 1024)]
    [InlineData(64, 1024)]
    [InlineData(128, 32768)]
    public void Angles_are_Simple_s(int headSize, int positions) => AssertEqual(Of(headSize, positions), [], positions);

    [Theory]
    [InlineData(500000)]
    [InlineData(1e6f)]
    [InlineData(1.0000001f)]
    [InlineData(3.4e17f)]
    public void So_they_are_with_any_base(float ropeBase) => AssertEqual(Of(128, 8192) with { RopeBase = ropeBase }, [], 8192);

    [Fact]
    public void So_they_are_with_factors_and_scaling()
    {
        Config config = Of(64, 4096);
        AssertEqual(config, [.. Enumerable.Range(0, 32).Select(i => 1 + i * 0.21875f)], 4096);
        AssertEqual(config with { RopeScaling = new RopeScaling(4) }, [], 4096);
        AssertEqual(config with { RopeScaling = RopeScaling.Yarn(64, 10000, 8, 512) }, [], 4096);
    }

    [Fact]
    public void So_they_are_where_only_some_pairs_turn() => AssertEqual(Of(64, 4096) with { RopeDim = 16 }, [], 4096);

    [Fact]
    public void Powers_are_MathF_s()
    {
        Random random = new(1);
        for (int i = 0; i < 200_000; i++)
        {
            float x = MathF.Exp(40 * random.NextSingle()), y = random.NextSingle();
            Assert.InRange(Bits.UlpsBetween(Elementary.Pow(x, y), MathF.Pow(x, y)), 0, Glibc.IsMathF ? 0 : 1);
        }
    }

    private static Config Of(int headSize, int positions) => new(headSize, 1, 1, 1, 1, 1, positions);

    private static void AssertEqual(Config config, float[] factors, int positions)
    {
        int half = config.HeadSize / 2;
        Rope rope = new(config, factors);
        float[] cos = new float[half], sin = new float[half], expectedCos = new float[half], expectedSin = new float[half];
        float[] frequencies = Llama2.Simple.Nn.RopeFrequencies(config, factors);
        for (int position = 0; position < positions; position += 1 + positions / 1000)
        {
            fixed (float* c = cos, s = sin)
                rope.Angles(position, c, s);
            Llama2.Simple.Nn.RopeAngles(expectedCos, expectedSin, position, frequencies, config.RopeScaling?.Magnitude ?? 1);
            for (int i = 0; i < half; i++)
            {
                int ulps = Glibc.IsMathF ? 0 : 1;
                Assert.InRange(Bits.UlpsBetween(cos[i], expectedCos[i]), 0, ulps);
                Assert.InRange(Bits.UlpsBetween(sin[i], expectedSin[i]), 0, ulps);
            }
        }
    }
}
