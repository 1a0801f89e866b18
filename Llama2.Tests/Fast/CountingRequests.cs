using Llama2.Fast.Engine;

namespace Llama2.Tests.Fast;

/// <summary>Requests to an engine that runs a <see cref="CountingModel"/>, and their answers.</summary>
internal static class CountingRequests
{
    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static ISampler Greedy => new Sampler(CountingModel.Vocab, 0, 0, 1);

    public static GenerationRequest Count(int from, int tokens = 5, int promptLength = 1) =>
        new([.. Enumerable.Range(from - promptLength + 1, promptLength)], Greedy) { MaxNewTokens = tokens };

    public static int[] From(int first, int count) => [.. Enumerable.Range(first, count)];

    public static async Task<int[]> Read(Generation generation)
    {
        List<int> tokens = [];
        await foreach (GeneratedToken token in generation.ReadAllAsync(Cancellation))
            tokens.Add(token.Token);
        return [.. tokens];
    }

    /// <summary>A cache of so many positions, whatever is in them.</summary>
    public static KvCache Filled(Config config, int positions)
    {
        KvCache cache = new(config, positions);
        for (int i = 0; i < positions; i++)
            cache.Advance();
        return cache;
    }
}
