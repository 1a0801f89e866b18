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
    public void Angles_are_Simple_s(int headSize, int positions)
    {
        int half = headSize / 2;
        Rope rope = new(headSize);
        float[] cos = new float[half], sin = new float[half], expectedCos = new float[half], expectedSin = new float[half];
        for (int position = 0; position < positions; position += 1 + positions / 1000)
        {
            fixed (float* c = cos, s = sin)
                rope.Angles(position, c, s);
            Llama2.Simple.Nn.RopeAngles(expectedCos, expectedSin, position);
            for (int i = 0; i < half; i++)
            {
                int ulps = Glibc.IsMathF ? 0 : 1;
                Assert.InRange(Bits.UlpsBetween(cos[i], expectedCos[i]), 0, ulps);
                Assert.InRange(Bits.UlpsBetween(sin[i], expectedSin[i]), 0, ulps);
            }
        }
    }

    [Fact]
    public void Its_base_is_the_config_s() => Assert.Equal(Rope.Log2OfBase, Math.Log2(Config.RopeBase), 1e-14);
}
