using Llama2.Fast.Engine;
using Llama2.Simple.Generation.Saved;
using static Llama2.Tests.Fast.CountingRequests;

namespace Llama2.Tests.Fast;

/// <summary>What a pod ran last, taken out of the engine and put back.</summary>
public sealed class EngineSlotTests
{
    private static async Task<int> CachedAsync(GenerationEngine engine, int from, string? key = "a")
    {
        Generation generation = engine.Submit(Count(from + 19, promptLength: 20) with { CacheKey = key }, Cancellation);
        Assert.Equal(From(from + 20, 5), await Read(generation));
        return generation.CachedTokens;
    }

    [Fact]
    public async Task A_text_that_was_saved_and_erased_comes_back_for_its_key_and_for_no_other()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 1 });
        Assert.Null(engine.Save(0, "a"));
        Assert.Equal(0, await CachedAsync(engine, 10));
        Assert.Null(engine.Save(0, "b"));
        SavedSession saved = engine.Save(0, "a")!;
        Assert.Equal(Enumerable.Range(10, 25), saved.Tokens);
        Assert.Equal(24, saved.Cache.Length); // the last token was not fed
        Assert.Equal(19, await CachedAsync(engine, 10));

        Assert.Equal(0, engine.Erase(0, "b"));
        Assert.Equal(25, engine.Erase(0, "a"));
        Assert.Equal((0, 0L), (engine.Erase(0, "a"), engine.Statistics.KeptTokens));
        Assert.Null(engine.Save(0, "a"));
        Assert.True(engine.Restore(0, "a", saved));
        Assert.Equal((24L, PrefixCache.Size(model.Config, saved.Cache)), (engine.Statistics.KeptTokens, engine.Statistics.KeptBytes));
        Assert.Equal(saved.Tokens, engine.Save(0, "a")!.Tokens);
        Assert.Equal(0, await CachedAsync(engine, 10, "b"));
        Assert.Equal(19, await CachedAsync(engine, 10));
    }

    [Fact]
    public async Task Nothing_is_saved_of_what_is_not_kept_and_nothing_restored_that_has_no_room()
    {
        using CountingModel model = new();
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 1, CacheBytes = 0 });
        await CachedAsync(engine, 10);
        Assert.Null(engine.Save(0, "a"));
        Assert.False(engine.Restore(0, "a", new SavedSession([1, 2], Filled(model.Config, 1), 0, 1, 1)));

        using GenerationEngine keeping = new(model, new EngineOptions { Pods = 1 });
        await CachedAsync(keeping, 10, key: null);
        Assert.Null(keeping.Save(0, "a"));
    }

    [Fact]
    public async Task A_pod_that_is_busy_is_left_alone()
    {
        using Gate gate = new();
        using CountingModel model = new(_ => gate.Pass());
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 2 });
        Task<int> running = CachedAsync(engine, 10);
        gate.WaitUntilReached();
        Assert.Throws<PodBusyException>(() => engine.Save(0, "a"));
        Assert.Throws<PodBusyException>(() => engine.Erase(0, "a"));
        Assert.Throws<PodBusyException>(() => engine.Restore(0, "a", new SavedSession([1, 2], Filled(model.Config, 1), 0, 1, 1)));
        Assert.Equal(0, engine.Erase(1, "a"));
        gate.Open();
        await running;
    }
}
