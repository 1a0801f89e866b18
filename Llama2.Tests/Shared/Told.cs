using Llama2.Simple.Generation.Speculation;

namespace Llama2.Tests.Shared;

/// <summary>All that shows of a text while it is made: its state after each token, the logits seen, and the cache at its end.</summary>
internal sealed record Told(IReadOnlyList<Told.State> States, IReadOnlyList<float[]> Seen, string Text, float[] Cache)
{
    /// <summary>What shows after one token.</summary>
    internal sealed record State(
        int[] Tokens, int Fed, int Sampled, int Last, TextEnd? End, string NewText, ulong RandomState, float[] Logits, int Seen);

    public int[] Tokens => States[^1].Tokens;

    /// <summary>Runs a sequence to its end.</summary>
    /// <param name="newSequence">Makes it, with the visitor of logits that it is given.</param>
    /// <param name="byToken">Whether tokens are taken one at a time, as they are printed, or a step's at once.</param>
    /// <param name="stopAfter">Ends it after so many states, as a reader who goes away.</param>
    public static Told Of(ITransformer transformer, Func<LogitsVisitor, Sequence> newSequence, DraftPolicy? policy = null,
        bool byToken = true, int stopAfter = int.MaxValue)
    {
        List<State> states = [];
        List<float[]> seen = [];
        Sequence sequence = newSequence(logits => seen.Add(logits.ToArray()));
        Batch batch = new(transformer, policy);
        if (byToken)
        {
            foreach (string text in batch.Run(sequence, CancellationToken.None))
            {
                states.Add(StateOf(sequence, seen.Count));
                Assert.Equal(text, sequence.NewText);
                if (states.Count == stopAfter)
                    break;
            }
        }
        else
        {
            batch.Add(sequence);
            while (batch.Count > 0)
            {
                batch.Step();
                states.Add(StateOf(sequence, seen.Count));
            }
        }
        return new Told(states, seen, string.Concat(states.Select(state => state.NewText)), CacheOf(sequence.Cache, transformer.Config));
    }

    /// <summary>What shows of a sequence now.</summary>
    public static State StateOf(Sequence sequence, int seen) => new([.. sequence.Tokens], sequence.Fed, sequence.Sampled,
        sequence.LastSampled, sequence.End, sequence.NewText, sequence.Sampler.RandomState, [.. sequence.Logits], seen);

    /// <summary>The keys and values of all positions in use.</summary>
    public static float[] CacheOf(KvCache cache, Config config) =>
    [
        .. Enumerable.Range(0, config.LayerCount).SelectMany(layer => (float[])
        [
            .. cache.Keys(layer)[..(cache.Length * config.KvDim)], .. cache.Values(layer)[..(cache.Length * config.KvDim)],
        ]),
    ];

    /// <summary>Fails unless both show the same; one whose tokens came several at a time shows the states after the last of each.</summary>
    public static void AssertEqual(Told expected, Told actual, bool byToken = true)
    {
        int i = 0;
        foreach (State state in actual.States)
        {
            if (!byToken)
            {
                while (i < expected.States.Count - 1 && (expected.States[i].Sampled, expected.States[i].Fed) != (state.Sampled, state.Fed))
                    i++;
            }
            Assert.InRange(i, 0, expected.States.Count - 1);
            AssertEqual(expected.States[i++], state, byToken);
        }
        Assert.Equal(expected.States.Count, i);
        Assert.Equal(expected.Text, actual.Text);
        Assert.Equal(expected.Seen.Count, actual.Seen.Count);
        for (int row = 0; row < expected.Seen.Count; row++)
            Bits.AssertEqual(expected.Seen[row], actual.Seen[row], $"logits seen {row}th");
        Bits.AssertEqual(expected.Cache, actual.Cache, "cache");
    }

    private static void AssertEqual(State expected, State actual, bool byToken)
    {
        Assert.Equal(expected.Tokens, actual.Tokens);
        Assert.Equal((expected.Fed, expected.Sampled, expected.Last, expected.End), (actual.Fed, actual.Sampled, actual.Last, actual.End));
        Assert.Equal((expected.RandomState, expected.Seen), (actual.RandomState, actual.Seen));
        Bits.AssertEqual(expected.Logits, actual.Logits, "logits kept");
        if (byToken)
            Assert.Equal(expected.NewText, actual.NewText);
    }
}
