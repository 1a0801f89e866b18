using System.Diagnostics;
using System.Text;
using Llama2.Fast;

namespace Llama2.Tests.Fast;

public sealed class FastTokenizerCostTests
{
    private static readonly FastTokenizer Tales = new(TokenizerFile.Open(Repository.Weights("tok512-tales.bin")));

    [Theory]
    [InlineData("Once upon a time, there was a little girl named Lily. She loved to play outside. ")]
    [InlineData("a")] // the same pair everywhere
    [InlineData(" ")]
    [InlineData("你好 😀")]
    public void Encoding_sixteen_times_the_text_takes_less_than_sixty_four_times_as_long(string unit)
    {
        const int Bytes = 1 << 16;
        double once = Cost(unit, Bytes), more = Cost(unit, 16 * Bytes);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Bytes} bytes in {1000 * once:F1} ms, sixteen times as many in {1000 * more:F1} ms");
        Assert.InRange(more / once, 0, 64); // run.c's algorithm takes 256 times as long
    }

    private static double Cost(string unit, int bytes)
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(unit, bytes / Encoding.UTF8.GetByteCount(unit))));
        return Enumerable.Range(0, 3).Min(_ =>
        {
            long started = Stopwatch.GetTimestamp();
            Tales.Encode(text);
            return Stopwatch.GetElapsedTime(started).TotalSeconds;
        });
    }
}
