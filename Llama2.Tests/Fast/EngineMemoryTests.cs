using System.Runtime.CompilerServices;
using Llama2.Fast.Engine;
using static Llama2.Tests.Fast.CountingRequests;

namespace Llama2.Tests.Fast;

/// <summary>What has ended keeps no keys and values, though its reader has not come to the end.</summary>
public sealed class EngineMemoryTests
{
    [Fact]
    public async Task A_text_that_nobody_has_read_yet()
    {
        WeakReference? cache = null; // of the first text
        using CountingModel model = new(rows => cache ??= new WeakReference(rows[0].Cache));
        using GenerationEngine engine = new(model, new EngineOptions { CacheBytes = 0 });
        Generation unread = engine.Submit(Count(10), Cancellation);
        Assert.Equal(From(21, 5), await Read(engine.Submit(Count(20, promptLength: 9), Cancellation))); // it ends later
        engine.Dispose();
        Assert.False(IsKept(cache!));
        Assert.Equal(From(11, 5), await Read(unread));
        Assert.Equal((TextEnd.Length, 5), (unread.End, unread.SampledTokens));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool IsKept(WeakReference cache)
    {
        GC.Collect();
        return cache.IsAlive;
    }
}
